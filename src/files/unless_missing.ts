/** Null if a file or folder does not exist. */
export async function unlessMissing<T>(result: Promise<T>): Promise<T | null> {
  try {
    return await result;
  } catch (error) {
    const {code} = error as {code?: string};
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
