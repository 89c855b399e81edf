"""Which panels of the desktop show icons."""


def has_old_tray() -> bool:
    """Whether a panel embeds windows, as the fallback of the icon needs it."""
    try:
        from Xlib import display

        screen = display.Display()
    except Exception:  # noqa: BLE001 - Xlib has a dozen ways to say that there is no display
        return False
    try:
        atom = screen.intern_atom(f"_NET_SYSTEM_TRAY_S{screen.get_default_screen()}")
        return bool(screen.get_selection_owner(atom))
    finally:
        screen.close()
