/** What went wrong, in words, and what can be done about it. */
import {
  limitedByModel,
  placeOf,
  settingNames,
  settings,
  type ModelLimits,
  type SettingName,
} from './settings';

/** Of each code of the library: what it means, where its own message says less to who uses the page, and the way out. */
const known: Record<string, {says?: string; way: string}> = {
  'no-webgpu': {
    says: 'This browser has no WebGPU, or it is turned off.',
    way: 'Choose “wasm” under “Computes on”, which every browser has.',
  },
  'no-webgl': {
    says: 'This browser has no WebGL, or it is turned off.',
    way: 'Choose “wasm” under “Computes on”, which every browser has.',
  },
  'device-lost': {
    says: 'The graphics card was taken away, as happens when its memory is full or its driver restarts.',
    way: 'Go on, or have wasm compute, which needs none.',
  },
  'no-memory': {
    says: 'This tab has no more memory.',
    way: 'Close other tabs, or choose fewer blocks, a smaller rank, sleeping blocks at 16 bits, fewer rows in a batch or shorter rows.',
  },
  'wrong-file': {
    way: 'Choose other files; what is taken stands below “Model” and “Text to learn”.',
  },
  'storage-full': {
    says: 'The browser’s storage is full.',
    way: 'Delete earlier runs below, or make room on the disk. What was saved is still there.',
  },
  offline: {
    says: 'The Hugging Face Hub, or the host of a file, does not answer.',
    way: 'Check the connection and begin again: files that have arrived are kept. The built-in model works without a network.',
  },
  refused: {
    way: 'Name and token stand under “Model”.',
  },
  'bad-option': {way: 'Change that setting and begin again.'},
  'in-use': {
    says: 'Another tab has this run open.',
    way: 'Go on there, or close that tab first.',
  },
  worker: {
    says: 'The worker that trains did not start, or ended.',
    way: 'Reload the page. If that does not help, another browser will: this page needs module workers.',
  },
};

const divergedText = 'The model has been driven so far that it computes with no numbers any more (NaN, or infinite). A lower learning rate may help.'; // prettier-ignore

/** The code of an error of the library; `failed` where there is none. */
export function codeOf(error: unknown): string {
  const {code} = (error ?? {}) as {code?: unknown};
  return typeof code === 'string' ? code : 'failed';
}

/** A text of the library, in which options that the page has are called as there. */
export function inPageWords(text: string): string {
  const worded = text.replace(
    /applyChatTemplate: the tokenizer has no chat template, .*chat_template\.jinja/,
    `this model knows no chats; give it a template in ${placeOf('template')}, or questions and answers without turns`,
  );
  return worded.replace(/the option `(\w+)`|\b(maxLength)\b(?= \d)/g, (known, quoted, bare) => {
    const name = settingNames.find((each) => each === (quoted ?? bare));
    return name === undefined ? known : placeOf(name);
  });
}

/** The message as a sentence, without the names of functions and options that are for who writes a program. */
export function messageOf(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)).trim();
  const text = inPageWords(message)
    .replace(/^(?:[a-z]+[A-Z]\w*|chat|save|inspect): /, '')
    .replace('a token of yours by the option token', 'a token of yours')
    .replace(
      /^model must be .*; got (.*)/s,
      'A name of the Hub is as HuggingFaceTB/SmolLM2-135M; got $1',
    )
    .replace(
      'go on with it by resumeInWorker, delete it by deleteRun, or give another name',
      'go on with it or delete it under “Earlier runs”, or give another name',
    );
  // a name of a file stays as it is
  const begun = text.replace(
    /^[a-z]+(?= )/,
    (word) => word.charAt(0).toUpperCase() + word.slice(1),
  );
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/** What a setting may be at most with its model, where an error says that it is more; else nothing. */
export function limitsOf(error: unknown): ModelLimits {
  const message = error instanceof Error ? error.message : '';
  const [, given, most, is] =
    /\b(\w+) must be an integer >= \d+ and <= (\d+); got (\d+)$/.exec(message) ?? [];
  const name = limitedByModel.find((each) => each === given);
  return name !== undefined && Number(is) > Number(most) ? {[name]: Number(most)} : {};
}

/** Whether a training has ended because its numbers were no longer finite: by the same rate it would again. */
export function isDiverged(error: unknown): boolean {
  return (
    error instanceof Error && /^OwLoreOptimizer: the .* is (NaN|infinite);/.test(error.message)
  );
}

/** An error in the words of this page: what happened and the way out; and what else the library says of it. */
export function wordsOf(error: unknown): {text: string; details?: string} {
  const code = codeOf(error);
  const message = messageOf(error);
  if (isDiverged(error)) return {text: divergedText, details: message};
  if (message.startsWith('The chat template cannot be'))
    return {
      text: `${message} It stands in ${placeOf('template')}, or else in the files of the model.`,
    };
  const setting = settingNames.find((name) => new RegExp(`^${name} must be `, 'i').test(message));
  const [limit] = Object.entries(limitsOf(error)) as [SettingName, number][];
  if (limit) return {text: `${placeOf(limit[0])} can be ${limit[1]} at most with this model.`};
  if (setting !== undefined)
    return {text: message.replace(new RegExp(`^${setting}`, 'i'), `“${settings[setting].label}”`)};
  const {says, way = ''} = Object.hasOwn(known, code) ? known[code]! : {};
  return says === undefined
    ? {text: `${message} ${way}`.trim()}
    : {text: `${says} ${way}`, details: message};
}
