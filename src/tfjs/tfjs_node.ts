/** What tfjs-node, an optional backend of Node, needs before it is loaded. */

/** Gives tfjs-node what newer Nodes lack, and silences TensorFlow's notes on the processor, unless the user has set what it prints. */
export function prepareTfjsNode(): void {
  if (!globalThis.process) return; // the tests in a page have no process
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  // Node 23 removed this function, which tfjs-node 4.22 still calls.
  const util = process.getBuiltinModule('node:util') as {
    isNullOrUndefined?: (x: unknown) => boolean;
  };
  util.isNullOrUndefined ??= (x) => x === null || x === undefined;
}
