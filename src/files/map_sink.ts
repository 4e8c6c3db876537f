import type {FileSink} from './sink';

/** Files in memory, which are added to `target` all at once. */
export function mapSink(target: Map<string, Uint8Array>): FileSink {
  const files = new Map<string, Uint8Array>();
  return {
    async create(path, size) {
      const bytes = new Uint8Array(size);
      files.set(path, bytes);
      let filled = 0;
      return {
        async write(part) {
          bytes.set(part, filled);
          filled += part.length;
        },
        close: async () => undefined,
      };
    },
    async commit(isObsolete) {
      for (const path of [...target.keys()].filter(isObsolete)) target.delete(path);
      for (const [path, bytes] of files) target.set(path, bytes);
    },
    abort: async () => undefined,
  };
}
