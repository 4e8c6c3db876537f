/** Runs `body` while `os.tmpdir()` is `path`. */
export async function withTemporaryFolder<T>(path: string, body: () => T | Promise<T>): Promise<T> {
  const {TMPDIR} = process.env;
  process.env['TMPDIR'] = path;
  try {
    return await body();
  } finally {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  }
}
