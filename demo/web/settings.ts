/** The settings of a run that the form offers and the address keeps, under the names of the library's options. */
import type {FineTuneOptions} from '../../src/worker/options';
import {countText} from './words';

export type SettingName =
  | 'method'
  | 'gamma'
  | 'rank'
  | 'learningRate'
  | 'steps'
  | 'batchSize'
  | 'maxLength'
  | 'backend'
  | 'interval'
  | 'scores'
  | 'refreshInterval'
  | 'schedule'
  | 'warmup'
  | 'accumulate'
  | 'seed'
  | 'embedding'
  | 'frozenDtype'
  | 'gradientCheckpointing'
  | 'format'
  | 'fields'
  | 'packing'
  | 'learnPrompts'
  | 'template'
  | 'validationSplit'
  | 'evaluateEvery'
  | 'sampleEvery'
  | 'prompts'
  | 'saveEvery'
  | 'run'
  | 'threads';

/** The settings that may be no more than the model allows. */
export const limitedByModel = ['gamma', 'maxLength'] as const;

/** The most that these may be with a model: as many blocks as it has, as many tokens as it was made for. */
export type ModelLimits = Partial<Record<(typeof limitedByModel)[number], number>>;

/** What is given; what is not has the library's default, or that of this page. */
export type Settings = Partial<Record<SettingName, string | number>>;

interface Common {
  label: string;
  /** One sentence. */
  help: string;
  /** What a field shows that is left empty, where the page has no default of its own. */
  otherwise?: string;
  /** Under which title it stands below "more"; undefined: it does not. */
  more?: 'Examples' | 'Method' | 'Memory' | 'The run';
  /** Whether it plays a part with a method. */
  matters?: (method: string) => boolean;
}

export interface NumberSetting extends Common {
  kind: 'number';
  min: number;
  max: number;
  isWhole: boolean;
  /** What is said of `max` where it follows from another setting. */
  why?: string;
}

export interface ChoiceSetting extends Common {
  kind: 'choice';
  /** Values, each with what the form calls it; the first one is the default. */
  choices: Record<string, string>;
  /** Of each value a sentence that takes the place of `help` while it is chosen. */
  helps?: Record<string, string>;
}

export interface TextSetting extends Common {
  kind: 'text';
  maxLength: number;
  /** Whether it may have several lines. */
  hasLines?: boolean;
  /** What it must be, with that in words. */
  form?: {pattern: RegExp; words: string};
}

export type Setting = NumberSetting | ChoiceSetting | TextSetting;

const count = {kind: 'number', min: 1, max: 1e6, isWhole: true} as const;
const drawsBlocks = (method: string) => !['galore', 'lora', 'full'].includes(method);
const isLowRank = (method: string) => ['owlore', 'galore', 'lora'].includes(method);
const usesScores = (method: string) => method.startsWith('owlore');

export const settings: Record<SettingName, Setting> = {
  method: {
    kind: 'choice',
    label: 'Method',
    help: 'What trains in a step, and how.',
    choices: {
      owlore: 'OwLore',
      'owlore-full': 'OwLore, full rank',
      lisa: 'LISA',
      'lisa-d': 'LISA, shallow blocks more often',
      galore: 'GaLore',
      badam: 'BAdam',
      lora: 'LoRA',
      full: 'Full fine-tuning (AdamW)',
    },
    helps: {
      owlore:
        'Trains some blocks at a time, those with more outliers more often, by low-rank steps.',
      'owlore-full':
        'Trains some blocks at a time, those with more outliers more often, by steps of full rank.',
      lisa: 'Trains some blocks at a time, which are drawn by chance.',
      'lisa-d': 'Trains some blocks at a time, those near the input more often.',
      galore:
        'Trains all blocks in every step, by low-rank steps, which need less optimizer state.',
      badam: 'Trains one block after another, and nothing but blocks.',
      lora: 'Trains small matrices beside the weights, which stay as they are.',
      full: 'Trains all weights in every step, which takes the most memory.',
    },
  },
  gamma: {
    ...count,
    label: 'Blocks at a time (γ)',
    help: 'Fewer take less memory, more learn faster.',
    matters: drawsBlocks,
  },
  rank: {
    ...count,
    label: 'Rank',
    help: 'Directions in which a matrix moves; a smaller rank keeps less state.',
    matters: isLowRank,
  },
  learningRate: {
    kind: 'number',
    min: 1e-8,
    max: 10,
    isWhole: false,
    label: 'Learning rate',
    help: 'How far a step goes at most; you can change it while the model trains.',
  },
  steps: {...count, label: 'Steps', help: 'Each step reads one batch.'},
  batchSize: {
    ...count,
    max: 1024,
    label: 'Rows in a batch',
    help: 'More rows make steadier steps and take more memory.',
  },
  maxLength: {
    ...count,
    min: 2,
    max: 131072,
    label: 'Tokens in a row',
    help: 'What is longer is cut; the model may allow less.',
  },
  backend: {
    kind: 'choice',
    label: 'Computes on',
    help: 'WebGPU is the graphics card; wasm is the processor.',
    choices: {
      auto: 'WebGPU if there, else wasm',
      webgpu: 'WebGPU',
      wasm: 'wasm',
      webgl: 'WebGL',
    },
  },
  format: {
    kind: 'choice',
    label: 'Examples are',
    help: 'Prompts have answers; instructions are as Alpaca has them.',
    choices: {
      auto: 'as they look',
      text: 'texts',
      chat: 'chats',
      'prompt-completion': 'prompts',
      alpaca: 'instructions',
    },
    more: 'Examples',
  },
  packing: {
    kind: 'choice',
    label: 'Examples in a row',
    help: 'Rows without gaps learn more in a step from short texts.',
    choices: {false: 'one', true: 'all that fit'},
    more: 'Examples',
  },
  learnPrompts: {
    kind: 'choice',
    label: 'Learns to write',
    help: 'Usually answers alone, given their prompts.',
    choices: {false: 'answers', true: 'prompts too'},
    more: 'Examples',
  },
  validationSplit: {
    kind: 'number',
    min: 0,
    max: 0.9,
    isWhole: false,
    label: 'Part held out',
    help: 'Examples that do not train and whose loss is measured, at most 500; 0: none.',
    otherwise: '0.05',
    more: 'Examples',
  },
  fields: {
    kind: 'text',
    maxLength: 300,
    label: 'Names of the fields',
    help: 'Such as prompt=question,answer=reply, or text=body.',
    otherwise: 'the usual ones',
    form: {
      pattern:
        /^(text|messages|prompt|answer|system)=[^,=]+(,(messages|prompt|answer|system)=[^,=]+)*$/,
      words: 'Such as prompt=question,answer=reply, or text=body.',
    },
    more: 'Examples',
  },
  template: {
    kind: 'text',
    maxLength: 8000,
    hasLines: true,
    label: 'Chat template',
    help: 'How messages become one text, in Jinja.',
    otherwise: 'the model’s own',
    more: 'Examples',
  },
  interval: {
    ...count,
    label: 'Steps between draws',
    help: 'After so many steps other blocks are drawn.',
    more: 'Method',
    matters: drawsBlocks,
  },
  scores: {
    kind: 'choice',
    label: 'Blocks are drawn by',
    help: 'What makes a block more likely to train.',
    choices: {
      outlier: 'outliers',
      relativeMagnitude: 'magnitude',
      blockInfluence: 'influence',
      uniform: 'chance',
    },
    more: 'Method',
    matters: usesScores,
  },
  refreshInterval: {
    ...count,
    label: 'Steps between directions',
    help: 'How often a matrix takes new directions from its gradient.',
    otherwise: '200',
    more: 'Method',
    matters: (method) => isLowRank(method) && method !== 'lora',
  },
  schedule: {
    kind: 'choice',
    label: 'Rate falls',
    help: 'How the rate falls until the last step.',
    choices: {linear: 'evenly', cosine: 'as a cosine', constant: 'not at all'},
    more: 'Method',
  },
  warmup: {
    ...count,
    min: 0,
    label: 'Steps of warm-up',
    help: 'In which the rate rises from 0.',
    why: ', fewer than the run has',
    otherwise: '0',
    more: 'Method',
  },
  accumulate: {
    ...count,
    max: 1024,
    label: 'Batches in a step',
    help: 'Averages the gradients of several small batches.',
    otherwise: '1',
    more: 'Method',
  },
  embedding: {
    kind: 'choice',
    label: 'Embedding and head',
    help: 'In models with many tokens these take most of the memory.',
    choices: {full: 'train', 'low-rank': 'low rank', frozen: 'sleep'},
    more: 'Memory',
    matters: (method) => method !== 'badam' && method !== 'lora',
  },
  frozenDtype: {
    kind: 'choice',
    label: 'Sleeping blocks at',
    help: 'What does not train takes half of the memory at 16 bits.',
    choices: {F32: '32 bits', BF16: '16 bits'},
    more: 'Memory',
    matters: drawsBlocks,
  },
  gradientCheckpointing: {
    kind: 'choice',
    label: 'Gradient checkpointing',
    help: 'Computes activations twice instead of keeping them: less memory, more time.',
    choices: {auto: 'automatic', blocks: 'every block', none: 'off'},
    more: 'Memory',
  },
  evaluateEvery: {
    ...count,
    label: 'Steps between held-out losses',
    help: 'Each takes a moment.',
    more: 'The run',
  },
  sampleEvery: {
    ...count,
    min: 0,
    label: 'Steps between samples',
    help: 'Of text that the model writes; 0: none.',
    more: 'The run',
  },
  saveEvery: {
    ...count,
    min: 0,
    label: 'Steps between checkpoints',
    help: 'A closed tab goes on from the last one; 0: only when you pause, stop or switch to another tab.',
    otherwise: '5 % of the time',
    more: 'The run',
  },
  seed: {
    ...count,
    min: 0,
    max: 2 ** 31 - 1,
    label: 'Seed',
    help: 'The same seed gives the same run.',
    otherwise: '0',
    more: 'The run',
  },
  threads: {
    ...count,
    max: 64,
    label: 'Threads of wasm',
    help: 'The results are the same on any number.',
    otherwise: 'all',
    more: 'The run',
  },
  run: {
    kind: 'text',
    maxLength: 100,
    label: 'Name of the run',
    help: 'Under which this browser keeps it.',
    otherwise: 'model and time',
    form: {
      pattern: /^(?!\.)[^\\/:*?"<>|\p{Cc}]*[^\\/:*?"<>|\p{Cc}.]$/u,
      words: 'Without \\ / : * ? " < > | and without a dot at its ends.',
    },
    more: 'The run',
  },
  prompts: {
    kind: 'text',
    maxLength: 1000,
    hasLines: true,
    label: 'Samples go on with, or answer',
    help: 'One in each line.',
    otherwise: 'a held-out example',
    more: 'The run',
  },
};

/** What the page calls a method of the library; of one that it does not have, its name. */
export function methodTitle(name: string): string {
  const {method} = settings;
  return (method.kind === 'choice' ? method.choices[name] : undefined) ?? name;
}

export const settingNames = Object.keys(settings) as SettingName[];

/** What a field takes, in words; of a number with a comma, how to write it. */
export function whatItTakes(setting: Setting, text = ''): string {
  if (setting.kind === 'text') return setting.form?.words ?? setting.help;
  if (setting.kind === 'choice') return setting.help;
  const {min, max, isWhole, why = ''} = setting;
  if (/^\d*,\d+$/.test(text))
    return isWhole
      ? `Write it without a comma: ${text.replace(',', '')}.`
      : `Write it with a point: ${text.replace(',', '.')}.`;
  return isWhole
    ? `A whole number from ${min} to ${countText(max)}${why}.`
    : `A number from ${min} to ${max}.`;
}

/** The sentence below a field: what it is for, or what the value is that it has. */
export function helpOf(setting: Setting, value: string): string {
  return (setting.kind === 'choice' ? setting.helps?.[value] : undefined) ?? setting.help;
}

/** What a method does, as a sentence that begins with its name. */
export function methodSentence(method: string): string {
  const {choices, helps} = settings.method as ChoiceSetting;
  const [name] = (choices[method] ?? method).split(/,| \(/, 1) as [string];
  const help = helps![method] ?? '';
  return `${name} ${help.charAt(0).toLowerCase()}${help.slice(1)}`;
}

/** Where a setting stands in the form, in words. */
export function placeOf(name: SettingName): string {
  const {label, more} = settings[name];
  return `“${label}”${more === undefined ? '' : ' under “More settings”'}`;
}

/** The value that a text stands for, or null if it is none that the setting takes. */
export function readSetting(
  name: SettingName,
  text: string,
  setting = settings[name],
): string | number | null {
  if (setting.kind === 'choice') return Object.hasOwn(setting.choices, text) ? text : null;
  if (setting.kind === 'text') {
    const isRight = text.length <= setting.maxLength && (setting.form?.pattern.test(text) ?? true);
    return isRight && text !== '' ? text : null;
  }
  const value = Number(text);
  const {min, max, isWhole} = setting;
  const isIn = text.trim() !== '' && value >= min && value <= max;
  return isIn && (!isWhole || Number.isInteger(value)) ? value : null;
}

/** Defaults of this page for a model of one's own: those that a tab has room and patience for. */
export const tabDefaults: Settings = {
  steps: 100,
  batchSize: 2,
  maxLength: 128,
  frozenDtype: 'BF16',
};

/** Defaults for the built-in model and texts, which are small. */
export const builtInDefaults: Settings = {
  backend: 'wasm',
  gamma: 2,
  rank: 32,
  learningRate: 0.002,
  steps: 200,
  batchSize: 4,
  maxLength: 128,
  interval: 5,
  refreshInterval: 40,
  evaluateEvery: 20,
  sampleEvery: 20,
  validationSplit: 0.015,
  prompts: 'The captain',
};

/** The settings that play a part with their method, as the library takes them. */
export function asOptions(given: Settings): Partial<FineTuneOptions> {
  const {method = 'owlore'} = given;
  const mattering = Object.entries(given).filter(
    ([name]) => settings[name as SettingName].matters?.(String(method)) ?? true,
  );
  const {format, fields, packing, learnPrompts, template, prompts, ...others} = Object.fromEntries(
    mattering,
  ) as Settings;
  const dataset = {
    ...(format !== undefined && {format}),
    ...(fields !== undefined && {fields: fieldsOf(String(fields))}),
    ...(packing !== undefined && {packing: packing === 'true'}),
    ...(learnPrompts !== undefined && {learnPrompts: learnPrompts === 'true'}),
    ...(template !== undefined && {template}),
  };
  return {
    ...others,
    ...(Object.keys(dataset).length > 0 && {dataset}),
    ...(prompts !== undefined && {prompts: linesOf(String(prompts))}),
  } as Partial<FineTuneOptions>;
}

/** Of `prompt=question,answer=reply`. */
function fieldsOf(text: string): Record<string, string> {
  const pairs = text.split(',').map((part) => part.split('=').map((each) => each.trim()));
  return Object.fromEntries(pairs) as Record<string, string>;
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
