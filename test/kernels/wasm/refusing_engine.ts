/** While `f` runs, the engine makes no WebAssembly at once, as some browsers do not on their main thread. */
export async function refusingAtOnce<T>(f: () => T): Promise<Awaited<T>> {
  const {Module, Instance} = WebAssembly;
  const refuse = function (): never {
    throw new RangeError('WebAssembly.Module is disallowed on the main thread');
  };
  Object.assign(WebAssembly, {Module: refuse, Instance: refuse});
  try {
    return await f();
  } finally {
    Object.assign(WebAssembly, {Module, Instance});
  }
}
