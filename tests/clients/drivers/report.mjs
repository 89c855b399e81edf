// What the Node drivers share: what to ask, and one line of JSON about each feature.

export const ASK = JSON.parse(process.argv[2])

export const weather = ({ city }) => `It is sunny in ${city}.`

// Try each; a text in place of a function says why the client has no such thing.
export async function report(features) {
  for (const [feature, act] of Object.entries(features)) {
    console.log(JSON.stringify({ feature, ...(await outcome(act)) }))
  }
}

// The error that it ends with; to end without one is a failure.
export async function caught(act) {
  try {
    await act()
  } catch (error) {
    return error
  }
  throw new Error('no error was raised')
}

async function outcome(act) {
  if (typeof act === 'string') return { ok: null, reason: act }
  try {
    return { ok: true, detail: await act() }
  } catch (error) {
    return { ok: false, reason: String(error?.stack ?? error) }
  }
}
