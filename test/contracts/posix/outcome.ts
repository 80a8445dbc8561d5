/** `ok`, or the name of the error. */
export async function outcome(tried: () => Promise<unknown>): Promise<string> {
  try {
    await tried()
    return 'ok'
  } catch (error) {
    return String((error as { code?: unknown }).code ?? error)
  }
}
