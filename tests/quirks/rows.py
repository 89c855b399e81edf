"""Every row of the quirks reference, and every line of its checklist, with the tests that prove it.

A test is named `FILE::FUNCTION`; a word in brackets has to stand in the file too, such as the name
of a case. `test_rows.py` holds this list against the tests there are. What no test here can prove
stands in `UNPROVEN`, with the reason.
"""

from typing import NamedTuple


class Line(NamedTuple):
    """One line of the checklist."""

    says: str
    tests: tuple[str, ...]


QUIRK = "providers/test_quirks.py::test_quirks"
REFUSAL = "server/test_refusals.py::test_one_more_request_and_then_none"
LEARN = "server/test_learning.py::"
GATHER = "translate/test_tools.py::test_gathering"
REPLY = "translate/test_reply.py::"
FAIL = "translate/test_failures.py::"
STREAM = "live/test_streams.py::"
STRICT = "strict/test_strict.py::test_a_golden_request"
GOLDEN_IN = "test_golden.py::test_reply"
GOLDEN_OUT = "test_golden.py::test_request"
REPLAYED = "recordings/test_over_http.py::test_answers"
RECORDED = "recordings/test_replay_openai.py::"
EMBED = "translate/test_embed.py::"
LISTS = "translate/test_models.py::"
NAMES = "test_catalog.py::"
PATIENCE = "server/test_patience.py::"
THOUGHTS = "server/test_thoughts.py::"
TRAP = "contract/test_traps.py::"
ROWS_TEST = "quirks/test_rows_alone.py::"


def _of(prefix: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}[{name}]" for name in names)


REQUESTS: dict[str, tuple[str, ...]] = {
    "A1": (*_of(REFUSAL, '"A1"'), *_of(QUIRK, "new_token_limit"), STRICT),
    "A2": (*_of(REFUSAL, '"A2"'), *_of(QUIRK, "strict_keys", "old_token_limit", "random_seed")),
    "A3": (*_of(GOLDEN_OUT, "chat"), STRICT),
    "A4": (*_of(REFUSAL, '"A4"'), *_of(QUIRK, "drop_reasoning_sampling"), STRICT),
    "A5": (*_of(REFUSAL, '"A5"'), LEARN + "test_stop_strings_refused_are_watched_for_here"),
    "A6": (
        *_of(REFUSAL, '"A6"'),
        *_of(QUIRK, "first_four_stops"),
        STREAM + "test_more_stop_strings_than_a_provider_takes_are_all_obeyed",
    ),
    "A7": (*_of(REFUSAL, '"A7"'), "translate/test_options.py::test_options_of_a_provider"),
    "A8": (*_of(REFUSAL, '"A8"'), *_of(QUIRK, "no_effort_with_tools"), STRICT),
    "A9": (
        "contract/test_responses_only.py::test_it_is_learned_once",
        "server/test_learning_responses.py::test_a_model_without_chats_is_reached_all_the_same",
    ),
    "A10": _of(REFUSAL, '"A10"'),
    "A11": (*_of(REFUSAL, '"A11"'), *_of(QUIRK, "no_stream_options"), STRICT),
    "A12": (*_of(REFUSAL, '"A12"'), *_of(QUIRK, "no_logprobs", "one_choice")),
    "A13": (*_of(REFUSAL, '"A13"'), "server/test_openai.py::test_a_stream_for_json"),
    "A15": (
        *_of(REFUSAL, '"A15"'),
        LEARN + "test_a_limit_that_is_too_high_is_lowered_to_the_number_named",
        STRICT,
    ),
    "A16": (ROWS_TEST + "test_too_many_tools_are_refused_with_both_numbers",),
    "A17": ("translate/test_options.py::test_every_option_is_mapped_or_knowingly_ignored",),
    "A18": ("translate/test_options.py::test_options", STRICT),
    "A19": (ROWS_TEST + "test_fields_of_no_api_stay_here_on_the_native_path",),
    "B1": (*_of(REFUSAL, '"B1"'), *_of(QUIRK, "system_role")),
    "B1b": (*_of(REFUSAL, '"B1b"'), *_of(QUIRK, "fold_system")),
    "B2": (*_of(REFUSAL, '"B2"'), *_of(QUIRK, "alternate"), STRICT),
    "B3": (*_of(REFUSAL, '"B3"'), STRICT),
    "B4": (*_of(REFUSAL, '"B4"'), *_of(QUIRK, "merge_system"), STRICT),
    "B5": (*_of(QUIRK, "content_null"), STRICT),
    "B6": (*_of(QUIRK, "no_empty_text"), STRICT),
    "B7": (*_of(QUIRK, "content_empty"), "translate/test_messages.py::test_plain_turns"),
    "B8": ("translate/test_messages.py::test_any_history_is_sound", STRICT),
    "B9": (*_of(REFUSAL, '"B9"'), *_of(QUIRK, "strict_messages")),
    "B10": (*_of(QUIRK, "strict_messages"), THOUGHTS + "test_others_get_no_thoughts"),
    "B11": ("translate/test_messages.py::test_any_history_is_sound", STRICT),
    "B12": (*_of(QUIRK, "prefix_last_assistant"), STRICT),
    "B13": (ROWS_TEST + "test_fields_of_no_api_stay_here_on_the_native_path",),
}

TOOLS: dict[str, tuple[str, ...]] = {
    "C1": (*_of(GATHER, "C1: no index"), REPLAYED),
    "C2": (*_of(GATHER, "C2: all with index 0"), REPLAYED),
    "C3": (*_of(GOLDEN_IN, "chat"), "translate/test_stats.py::test_done_reason", REPLAYED),
    "C4": (REPLAYED,),
    "C5": (*_of(GATHER, "C5: id and name in every piece"), REPLAYED),
    "C6": (*_of(GATHER, "C6, C11: empty names and ids later"), REPLAYED),
    "C7": _of(GATHER, "C7: two objects"),
    "C8": _of(GATHER, "C8: each repeats all"),
    "C9": (*_of(GATHER, "C9: null"), REPLAYED),
    "C10": (
        *_of(GATHER, "C10: quotes"),
        "translate/test_tools.py::test_calls_nobody_can_carry_out",
    ),
    "C11": (*_of(GATHER, "C6, C11: empty names and ids later"), REPLAYED),
    "C12": (*_of(QUIRK, "nine_letter_ids"), "translate/test_tools.py::test_ids_are_kept_or_made"),
    "C13": ("translate/test_messages.py::test_results_find_their_calls",),
    "C14": ("translate/test_tools.py::test_names_suit_every_upstream_and_come_back", STRICT),
    "C15": (*_of(REFUSAL, '"C15"'), *_of(QUIRK, "plain_schemas"), STRICT),
    "C16": (*_of(QUIRK, "filled_schemas"), STRICT),
    "C17": (
        LEARN + "test_a_model_without_tools_says_so_in_ollamas_words_and_is_listed_so",
        FAIL + "test_what_a_model_cannot_do_is_said_in_ollamas_words",
        STRICT,
    ),
    "C18": (FAIL + "test_what_a_model_cannot_do_is_said_in_ollamas_words", STRICT, REPLAYED),
    "C19": ("server/test_refusals.py::test_a_call_that_could_not_be_read_is_read_here", REPLAYED),
    "C20": (*_of(REFUSAL, '"C20"'), *_of(QUIRK, "format_beside_tools"), STRICT),
    "C21": (FAIL + "test_what_a_model_cannot_do_is_said_in_ollamas_words",),
    "C23": (TRAP + "test_trap_22_lost_ids_are_made_anew", GOLDEN_IN),
}

THINKING: dict[str, tuple[str, ...]] = {
    "D1": (REPLY + "test_reasoning_in_every_spelling", REPLAYED),
    "D2": (REPLY + "test_reasoning_in_every_spelling", REPLAYED),
    "D3": (REPLY + "test_reasoning_in_every_spelling", REPLAYED),
    "D4": (*_of(GOLDEN_IN, "chat"), "translate/test_passage.py::test_gathering_a_list_of_parts"),
    "D5": ("translate/test_thinking.py::test_tags_cut_anywhere", REPLAYED),
    "D6": (
        THOUGHTS + "test_thoughts_behind_a_call",
        THOUGHTS + "test_that_they_are_wanted_is_learned",
        STRICT,
    ),
    "D7": (THOUGHTS + "test_a_routers_reasoning_parts",),
    "D8": (
        THOUGHTS + "test_a_signature",
        THOUGHTS + "test_a_signature_that_was_lost",
        STRICT,
    ),
    "D9": ("translate/test_thinking.py::test_effort_by_the_common_table", STRICT),
    "D10": _of(QUIRK, "reasoning_object"),
    "D11": _of(QUIRK, "thinking_switch"),
    "D12": _of(QUIRK, "template_thinking"),
    "D13": _of(QUIRK, "enable_thinking"),
    "D14": _of(QUIRK, "parsed_reasoning"),
    "D15": (
        "server/test_refusals.py::test_what_a_model_cannot_do_is_said_in_ollamas_words",
        *_of(QUIRK, "thinking_stays"),
        STRICT,
    ),
    "D16": (REPLY + "test_reasoning_that_used_up_all_tokens",),
    "D17": (ROWS_TEST + "test_a_call_within_thoughts_is_none",),
    "D18": (*_of(GOLDEN_IN, "chat"), TRAP + "test_trap_19_thinking_and_text_never_share_a_line"),
}

FORMATS: dict[str, tuple[str, ...]] = {
    "E1": (*_of(QUIRK, "say_json"), *_of(REFUSAL, '"E1"'), STRICT),
    "E2": ("translate/test_options.py::test_format", STRICT),
    "E3": ("translate/test_options.py::test_format",),
    "E4": (*_of(REFUSAL, '"E4"'), *_of(QUIRK, "json_by_schema"), STRICT),
    "E5": (*_of(QUIRK, "schema_to_object"), STRICT),
    "E6": _of(QUIRK, "format_object"),
    "E7": (*_of(QUIRK, "schema_in_object"), STRICT),
    "E8": (*_of(QUIRK, "format_in_words", "format_beside_tools"), STRICT),
    "E9": (
        "translate/test_fences.py::test_however_it_is_cut",
        ROWS_TEST + "test_json_in_a_fence",
    ),
    "E10": (*_of(QUIRK, "close_objects"), STRICT),
}

WIRE: dict[str, tuple[str, ...]] = {
    "F1": (
        "wire/test_sse.py::test_payloads",
        "translate/test_passage.py::test_comments_keep_the_client_waiting",
        REPLAYED,
    ),
    "F2": (RECORDED + "test_whole", "wire/test_sse.py::test_payloads"),
    "F3": ("wire/test_sse.py::test_payloads", REPLAYED),
    "F4": ("test_cuts.py::test_cut_once_at_every_byte", REPLAYED),
    "F5": (REPLAYED,),
    "F6": (
        STREAM + "test_silence_after_the_last_word_does_not_hold_the_client",
        REPLY + "test_the_last_usage_counts",
        REPLAYED,
    ),
    "F6b": (REPLY + "test_the_first_finish_reason_counts", REPLAYED),
    "F7": (REPLY + "test_the_last_usage_counts", REPLAYED),
    "F8": (RECORDED + "test_stream", ROWS_TEST + "test_events_without_choices"),
    "F9": (REPLY + "test_done_alone_completes_an_answer", REPLAYED),
    "F10": (
        REPLY + "test_nothing_is_read_after_done",
        STREAM + "test_silence_after_the_last_word_does_not_hold_the_client",
    ),
    "F11": (REPLY + "test_errors_inside_a_stream", REPLAYED),
    "F12": (REPLY + "test_errors_inside_a_stream", REPLAYED),
    "F13": (
        STREAM + "test_a_server_that_streams_or_not_as_it_likes",
        STREAM + "test_a_reply_is_what_it_looks_like",
        REPLAYED,
    ),
    "F14": (STREAM + "test_more_stop_strings_than_a_provider_takes_are_all_obeyed", STRICT),
    "F15": (RECORDED + "test_stream", REPLAYED),
    "F16": (
        REPLY + "test_a_message_in_a_stream_counts_only_if_nothing_was_said",
        "translate/test_passage.py::test_gathering_what_is_told_twice",
        REPLAYED,
    ),
    "F16b": (REPLAYED,),
    "F16c": (REPLAYED,),
    "F17": (STREAM + "test_a_client_that_hangs_up_cancels_the_upstream",),
    "F18": (STREAM + "test_a_line_arrives_as_soon_as_its_chunk_does",),
    "F19": (
        "server/test_transport.py::test_silence",
        "server/test_transport.py::test_thinking_is_not_silence",
    ),
}

ERRORS: dict[str, tuple[str, ...]] = {
    "G1": ("translate/test_stats.py::test_done_reason", REPLAYED),
    "G2": (REPLY + "test_finish_reasons_that_mean_failure",),
    "G3": (REPLY + "test_finish_reasons_that_mean_failure",),
    "G4": (*_of(GOLDEN_IN, "chat"), REPLAYED),
    "G5": (*_of(GOLDEN_IN, "chat"), REPLAYED),
    "G6": (REPLY + "test_whole_replies_that_are_none", REPLAYED),
    "G6b": (*_of(REFUSAL, '"8c"'), FAIL + "test_sentence", REPLAYED),
    "G7": (FAIL + "test_sentence", REPLAYED),
    "G8": (
        FAIL + "test_sentence",
        "server/test_upstream_errors.py::test_html_becomes_one_sentence",
    ),
    "G9": (
        FAIL + "test_status",
        FAIL + "test_unknown_models",
        "server/test_upstream_errors.py::test_statuses_and_sentences",
    ),
    "G10": (PATIENCE + "test_no_credit_is_said_at_once",),
    "G11": (
        "wire/test_retry_after.py::test_each_form",
        PATIENCE + "test_too_many_requests",
        "server/test_upstream_errors.py::test_retry_after_is_passed_on",
    ),
    "G12": (
        "wire/test_retry_after.py::test_each_form",
        PATIENCE + "test_a_reset_inside_the_body",
    ),
    "G13": ("wire/test_retry_after.py::test_each_form",),
    "G14": (PATIENCE + "test_a_model_that_is_being_loaded_is_waited_for",),
    "G15": (PATIENCE + "test_what_waiting_cannot_mend_is_not", REPLAYED),
    "G16": (
        REPLY + "test_an_empty_stream_is_an_error",
        "translate/test_passage.py::test_whole_replies_that_are_none",
        REPLAYED,
    ),
    "G17": ("server/test_refusals.py::test_nothing_is_asked_twice_unchanged", REPLAYED),
    "G17b": (PATIENCE + "test_what_waiting_cannot_mend_is_not", REPLAYED),
    "G17c": (ROWS_TEST + "test_a_limit_below_the_lowest_is_raised",),
    "G18": (PATIENCE + "test_what_may_pass_is_tried_again",),
    "G19": (PATIENCE + "test_nothing_is_tried_again_once_the_client_was_told_something",),
}

IMAGES: dict[str, tuple[str, ...]] = {
    "H1": ("wire/test_media.py::test_images", STRICT),
    "H2": ("wire/test_media.py::test_images",),
    "H3": (
        ROWS_TEST + "test_pictures_in_every_spelling",
        TRAP + "test_trap_40_pictures_get_their_type",
    ),
    "H4": (FAIL + "test_what_a_model_cannot_do_is_said_in_ollamas_words", STRICT, REPLAYED),
    "H5": (*_of(QUIRK, "plain_content"), STRICT),
    "H6": ("server/test_upstream_errors.py::test_statuses_and_sentences",),
    "H7": ("wire/test_media.py::test_images",),
    "H8": (STRICT,),
    "H9": ("translate/test_messages.py::test_images_of_results_follow_as_the_users", STRICT),
}

EMBEDDINGS: dict[str, tuple[str, ...]] = {
    "I1": (EMBED + "test_request_asks_for_floats_and_names_dimensions_only_if_the_client_did",),
    "I2": ("server/test_openai.py::test_base64_where_the_upstream_cannot",),
    "I3": (
        EMBED + "test_vectors_of_every_form",
        EMBED + "test_signed_bytes_are_told_from_float32",
        "recordings/test_over_http.py::test_embeddings",
    ),
    "I4": (LEARN + "test_embeddings_learn_on_both_routes",),
    "I5": (
        EMBED + "test_batches_keep_order_and_size",
        "server/test_refusals.py::test_the_size_of_a_batch_is_learned",
        ROWS_TEST + "test_two_hundred_and_fifty_inputs",
    ),
    "I6": (EMBED + "test_order_is_restored_for_base64_too",),
    "I7": ("server/test_error_tables.py::test_embedding_nothing_loads_the_model",),
    "I8": (TRAP + "test_trap_32_vectors_have_unit_length_or_none_of_ours", EMBED + "test_unit"),
    "I9": (ROWS_TEST + "test_a_text_that_is_too_long_is_cut_unless_told_not_to",),
    "I10": ("recordings/test_over_http.py::test_embeddings",),
}

MODELS: dict[str, tuple[str, ...]] = {
    "J1": (LISTS + "test_lists_of_every_shape", ROWS_TEST + "test_lists_of_every_shape"),
    "J2": (LISTS + "test_lists_of_every_shape", ROWS_TEST + "test_lists_of_every_shape"),
    "J3": (NAMES + "test_lists_and_facts_complete_each_other",),
    "J4": (LISTS + "test_context_length", LISTS + "test_every_recorded_list_is_read"),
    "J5": (LISTS + "test_capabilities", LISTS + "test_capabilities_of_recorded_openrouter_models"),
    "J6": (NAMES + "test_include_exclude_and_ids_of_the_settings",),
    "J7": (NAMES + "test_include_exclude_and_ids_of_the_settings",),
    "J8": (LISTS + "test_every_recorded_list_is_read",),
    "J9": (NAMES + "test_a_name_means",),
    "J10": (TRAP + "test_trap_25_names_come_back_as_they_were_sent",),
    "J11": (TRAP + "test_trap_16_model_info_is_found_by_its_architecture",),
    "J12": (
        NAMES + "test_digests_are_64_hex_distinct_and_the_same_in_every_process",
        TRAP + "test_trap_14_times_have_a_zone",
    ),
    "J13": (LISTS + "test_ps_lists_the_longest_lived_first",),
    "J14": (NAMES + "test_ids_of_the_settings_are_listed_when_the_provider_cannot_list",),
}

ADDRESSES: dict[str, tuple[str, ...]] = {
    "K1": ("test_config.py::test_base_urls_as_people_paste_them",),
    "K2": (
        "providers/test_presets.py::test_hosted_services",
        "test_config.py::test_base_urls_as_people_paste_them",
    ),
    "K3": ("server/test_addresses.py::test_azure_in_the_deployments_form",),
    "K4": (STRICT,),
    "K5": ("server/test_addresses.py::test_azure_in_the_v1_form",),
    "K6": (ROWS_TEST + "test_nobody_is_told_who_asks",),
    "K7": ("server/test_upstream_errors.py::test_no_key_no_header",),
    "K8": (ROWS_TEST + "test_redirects_are_not_followed",),
    "K9": ("test_keys.py::test_what_is_pasted_around_a_key_is_taken_off",),
    "K10": (ROWS_TEST + "test_the_clients_own_key_stays_here",),
}

NETWORK: dict[str, tuple[str, ...]] = {
    "L1": (ROWS_TEST + "test_a_proxy_is_not_asked_for_this_machine",),
    "L2": ("test_daemon.py::test_both_loopback_addresses_listen",),
    "L3": (
        "server/test_guard.py::test_other_hosts_are_refused_without_a_word_to_the_client",
        "server/test_guard.py::test_other_origins_are_refused_for_every_method",
    ),
    "L4": ("server/test_guard.py::test_host_is_not_judged_on_any_other_listener",),
    "L5": (ROWS_TEST + "test_forwarded_headers_open_no_door",),
    "L6": ("test_daemon.py::test_a_taken_port_says_by_whom",),
    "L7": (TRAP + "test_trap_36_head_works_where_clients_try_it",),
}

OPTIONS: dict[str, tuple[str, ...]] = {
    "num_predict": ("translate/test_options.py::test_options", STRICT),
    "temperature": ("translate/test_options.py::test_options", STRICT),
    "top_p": ("translate/test_options.py::test_options", STRICT),
    "top_k": ("translate/test_options.py::test_options_of_a_provider",),
    "min_p": ("translate/test_options.py::test_options_of_a_provider",),
    "repeat_penalty": ("translate/test_options.py::test_options_of_a_provider",),
    "repeat_last_n": ("quirks/test_rows_alone.py::test_the_table_of_options",),
    "typical_p": ("quirks/test_rows_alone.py::test_the_table_of_options",),
    "mirostat": ("quirks/test_rows_alone.py::test_the_table_of_options",),
    "presence_penalty": ("translate/test_options.py::test_options", STRICT),
    "frequency_penalty": ("translate/test_options.py::test_options", STRICT),
    "seed": ("translate/test_options.py::test_options", *_of(QUIRK, "random_seed"), STRICT),
    "stop": (STREAM + "test_more_stop_strings_than_a_provider_takes_are_all_obeyed", STRICT),
    "format": ("translate/test_options.py::test_format", STRICT),
    "think": ("translate/test_thinking.py::test_effort_by_the_common_table", STRICT),
    "logprobs": (*_of(GOLDEN_OUT, "chat"), STRICT),
    "suffix": (*_of(GOLDEN_OUT, "generate"), STRICT),
    "raw": (*_of(GOLDEN_OUT, "generate"), STRICT),
    "template": (*_of(GOLDEN_OUT, "generate"),),
    "context": (TRAP + "test_trap_47_context_is_not_made_up",),
    "keep_alive": (TRAP + "test_trap_39_keep_alive_has_units_or_is_a_number",),
    "num_ctx": ("translate/test_options.py::test_every_option_is_mapped_or_knowingly_ignored",),
}
"""The option table M, by Ollama's name."""

SECTIONS = (
    *(REQUESTS, TOOLS, THINKING, FORMATS, WIRE, ERRORS, IMAGES, EMBEDDINGS, MODELS, ADDRESSES),
    NETWORK,
)

UNPROVEN: dict[str, str] = {
    "A14": "documented for the vendor's own API; its compatible endpoint sends what is new only",
    "C22": "not offered: text is a call only where the service itself says that it was one (C19)",
}
"""Rows that no test here proves, and why."""

CHECKLIST: dict[str, Line] = {
    "1": Line("400 on `max_tokens`: the new name once, remembered", _of(REFUSAL, '"A1"')),
    "2": Line("422 on an unknown key: dropped, clean at once", _of(REFUSAL, '"A2"')),
    "3": Line(
        "tool calls in ten odd forms",
        (
            *_of(GATHER, "C1: no index", "C2: all with index 0", "C5: id and name in every piece"),
            *_of(GATHER, "C6, C11: empty names and ids later", "C9: blank", "C9: an object"),
            *_of(GATHER, "C7: two objects", "C8: each repeats all"),
            ROWS_TEST + "test_a_call_and_its_finish_in_one_chunk",
        ),
    ),
    "4": Line(
        "two calls of one tool, results in reverse order",
        ("translate/test_messages.py::test_results_find_their_calls", STRICT),
    ),
    "5": Line(
        "ids of 40 characters where nine are wanted",
        (ROWS_TEST + "test_long_ids_where_nine_letters_are_wanted", *_of(QUIRK, "nine_letter_ids")),
    ),
    "6": Line(
        "reasoning in five spellings, tags cut at every byte, only the closing tag",
        (
            REPLY + "test_reasoning_in_every_spelling",
            "translate/test_thinking.py::test_tags_cut_anywhere",
            REPLAYED,
        ),
    ),
    "7": Line(
        "thoughts and signatures go back with their calls",
        (THOUGHTS + "test_thoughts_behind_a_call", THOUGHTS + "test_a_signature"),
    ),
    "8": Line(
        "usage at five places, or never",
        (
            REPLY + "test_the_last_usage_counts",
            REPLY + "test_counts_are_estimated_only_where_none_is_told",
            REPLAYED,
        ),
    ),
    "8b": Line(
        "`delta` and `message` together",
        (REPLY + "test_a_message_in_a_stream_counts_only_if_nothing_was_said", REPLAYED),
    ),
    "8c": Line("a cause inside `metadata.raw`", _of(REFUSAL, '"8c"')),
    "9": Line(
        "comments, blank lines, no space, CRLF, split UTF-8",
        ("wire/test_sse.py::test_payloads", "test_cuts.py::test_cut_once_at_every_byte"),
    ),
    "10": Line(
        "ends and errors of every kind",
        (
            REPLY + "test_done_alone_completes_an_answer",
            REPLY + "test_the_connection_breaks_in_the_middle",
            STREAM + "test_silence_after_the_last_word_does_not_hold_the_client",
            REPLY + "test_errors_inside_a_stream",
            REPLY + "test_whole_replies_that_are_none",
            FAIL + "test_sentence",
        ),
    ),
    "11": Line(
        "stop strings: split, five of them, refused",
        (
            STREAM + "test_more_stop_strings_than_a_provider_takes_are_all_obeyed",
            LEARN + "test_stop_strings_refused_are_watched_for_here",
            ROWS_TEST + "test_a_stop_string_split_over_chunks",
        ),
    ),
    "12": Line(
        "a client that goes cancels the upstream",
        (STREAM + "test_a_client_that_hangs_up_cancels_the_upstream",),
    ),
    "13": Line(
        "a stream-only upstream, one that cannot stream",
        (*_of(REFUSAL, '"A13"', '"A10"'), STREAM + "test_a_server_that_streams_or_not_as_it_likes"),
    ),
    "14": Line(
        "pictures: five formats, data URI, bad base64, text-only upstream",
        (
            "wire/test_media.py::test_images",
            ROWS_TEST + "test_pictures_in_every_spelling",
            *_of(STRICT, "images"),
        ),
    ),
    "15": Line(
        "embeddings: base64, out of order, 250 inputs with a limit of 100, empty",
        (
            EMBED + "test_vectors_of_every_form",
            EMBED + "test_order_is_restored_for_base64_too",
            ROWS_TEST + "test_two_hundred_and_fifty_inputs",
            "server/test_error_tables.py::test_embedding_nothing_loads_the_model",
        ),
    ),
    "16": Line("a schema to upstreams of three kinds", (STRICT, *_of(REFUSAL, '"E1"', '"E4"'))),
    "17": Line(
        "429 in five forms",
        (
            PATIENCE + "test_too_many_requests",
            PATIENCE + "test_a_date_soon",
            PATIENCE + "test_no_credit_is_said_at_once",
        ),
    ),
    "18": Line(
        "`tags` and `show` for lists of seven vendors, digests stable",
        (
            "recordings/test_over_http.py::test_lists",
            ROWS_TEST + "test_lists_of_every_shape",
            NAMES + "test_digests_are_64_hex_distinct_and_the_same_in_every_process",
        ),
    ),
    "19": Line("names with slashes, tags, capitals", (NAMES + "test_a_name_means",)),
    "20": Line(
        "load and unload in every spelling, unknown models",
        (
            "server/test_error_tables.py::test_unloading_is_one_object_in_every_spelling",
            TRAP + "test_trap_27_an_unknown_model_has_three_texts",
        ),
    ),
    "21": Line(
        "hosts, origins, HEAD, both loopbacks, proxy variables",
        (
            "server/test_error_tables.py::test_host_and_origin",
            TRAP + "test_trap_36_head_works_where_clients_try_it",
            "test_daemon.py::test_both_loopback_addresses_listen",
            ROWS_TEST + "test_a_proxy_is_not_asked_for_this_machine",
        ),
    ),
    "22": Line(
        "an empty stream is an error",
        (REPLY + "test_an_empty_stream_is_an_error", ROWS_TEST + "test_an_empty_success"),
    ),
}
