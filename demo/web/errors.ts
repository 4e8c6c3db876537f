/** What can be done about an error, in words. */

const ways: Record<string, string> = {
  'no-webgpu':
    'This browser has no WebGPU, or it is turned off. Choose “wasm” under “Computes on”, which every browser has.',
  'no-webgl':
    'This browser has no WebGL, or it is turned off. Choose “wasm” under “Computes on”, which every browser has.',
  'device-lost':
    'The graphics card was taken away, as happens when it runs out of memory or its driver restarts. Go on from the last checkpoint, or begin again on wasm.',
  'no-memory':
    'Close other tabs, or choose fewer blocks, a smaller rank, fewer rows in a batch or shorter rows.',
  'wrong-file': 'Choose other files; what is taken stands below “Model” and “Text to learn”.',
  'storage-full':
    'Delete earlier runs below, or make room on the disk. The last checkpoint is still there.',
  offline:
    'Check the connection and begin again: files that have arrived are kept. The built-in model works without a network.',
  refused:
    'Check the name under “Model”, and give a token there for a model that is private or behind conditions.',
  'bad-option': 'Change that setting and begin again.',
  'in-use': 'Another tab has this run open. Go on there, or close that tab first.',
  worker:
    'Reload the page. If that does not help, another browser will: this page needs module workers.',
};

/** The code of an error of the library; `failed` where there is none. */
export function codeOf(error: unknown): string {
  const {code} = (error ?? {}) as {code?: unknown};
  return typeof code === 'string' ? code : 'failed';
}

/** What it says, without the name of the library's function that says it. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^[a-z]+[A-Z]\w*: /, '');
}

/** The way out; empty where nothing is known but the message. */
export function wayOut(error: unknown): string {
  const code = codeOf(error);
  return Object.hasOwn(ways, code) ? ways[code]! : '';
}
