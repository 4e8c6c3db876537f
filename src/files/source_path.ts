/**
 * Throws unless `path` is a plain relative one, with `/` between its parts: files that a checkpoint
 * names must be within it, whatever system it is read on.
 */
export function checkSourcePath(owner: string, path: string): void {
  const parts = path.split('/');
  const plain =
    parts.every((part) => part !== '' && part !== '.' && part !== '..') &&
    !/^[a-z]:/i.test(path) &&
    // half of a surrogate pair cannot be part of a URL
    !/\p{Surrogate}/u.test(path) &&
    // a backslash separates folders on Windows; file names have no control characters
    // eslint-disable-next-line no-control-regex -- they are what it refuses
    !/[\\\u0000-\u001f\u007f]/.test(path);
  if (plain) return;
  throw new Error(
    `${owner}: a file must be named by a path that stays in its folder, as 'model.safetensors' ` +
      `or 'shards/1.safetensors'; got ${JSON.stringify(path.slice(0, 200))}`,
  );
}
