import {
  checkChoice,
  checkFlag,
  checkKnown,
  checkNumber,
  definedIn,
  seedRange,
} from '../../common/options';
import {resolveConfig, type LlamaConfig} from '../config';
import {checkFields, EXAMPLE_FORMATS, type ExampleFormat, type FieldNames} from './formats';

/** Options of `textDataset`. */
export interface TextDatasetOptions {
  /** The format of the examples; default `'auto'`: decided for each by its fields. */
  format?: ExampleFormat;
  /**
   * Which fields of an example, or columns of a table, hold what, where they have other names than the usual ones:
   * `{prompt: 'frage', answer: 'antwort'}`, `{text: …}` or `{messages: …}`, with `system` for a system message. Default null.
   */
  fields?: FieldNames | null;
  /** Tokens in a row; default 512, or as many as the model of `config` takes. */
  maxLength?: number;
  /** Rows in a batch; the last one of a pass may have fewer. Default 16. */
  batchSize?: number;
  /**
   * Whether rows hold several examples one after the other, with the end token between them, cut where a row
   * is full; default false: one padded example per row.
   */
  packing?: boolean;
  /**
   * Whether the loss counts prompts too: instructions, and the turns of a chat that are not the
   * assistant's; default false.
   */
  learnPrompts?: boolean;
  /** Whether the order is random, and different in each pass; default true. */
  shuffle?: boolean;
  /**
   * How many examples are in memory to draw the next one from; default 10000. If it is as large as the file,
   * every order is equally likely.
   */
  shuffleBuffer?: number;
  /** Seed of the order, an integer in [0, 2³² − 1]; default 0. */
  seed?: number;
  /** What happens to examples that cannot be used: `'drop'` them and report, or `'throw'`; default `'drop'`. */
  invalid?: 'drop' | 'throw';
  /** Whether pass follows pass without end, as `batchesPerEpoch` of `fitDataset` needs; default false. */
  repeat?: boolean;
  /**
   * Which examples are used, by their place in the file, from 0; default all. `(i) => i % 20 !== 0` for
   * training leaves `(i) => i % 20 === 0` for validation.
   */
  select?: (index: number) => boolean;
  /** The most examples of a pass: the first ones that are used. Nothing is read after the last of them. Default `Infinity`. */
  limit?: number;
  /** The model's configuration, for its `vocabSize` and `maxPositionEmbeddings`; default null: not checked. */
  config?: LlamaConfig | null;
}

/** The defaults; `maxLength` is lower for a model with fewer positions. */
export const textDatasetDefaults = {
  format: 'auto',
  fields: null,
  maxLength: 512,
  batchSize: 16,
  packing: false,
  learnPrompts: false,
  shuffle: true,
  shuffleBuffer: 10000,
  seed: 0,
  invalid: 'drop',
  repeat: false,
  select: () => true,
  limit: Infinity,
  config: null,
} as const satisfies Required<TextDatasetOptions>;

/**
 * Fills in the defaults.
 *
 * @throws if an option is unknown or out of range.
 */
export function resolveDatasetOptions(
  owner: string,
  options: TextDatasetOptions,
): Required<TextDatasetOptions> {
  checkKnown(owner, options, Object.keys(textDatasetDefaults));
  const config = options.config ?? null;
  const positions = config === null ? Infinity : resolveConfig(config).maxPositionEmbeddings;
  const maxLength = Math.min(textDatasetDefaults.maxLength, positions);
  const resolved = {...textDatasetDefaults, maxLength, ...definedIn(options)};
  checkChoice(owner, 'format', resolved.format, EXAMPLE_FORMATS);
  if (resolved.fields !== null) {
    checkFields(owner, 'fields', resolved.fields);
    if (resolved.format !== 'auto') {
      throw new Error(`${owner}: fields say the format; leave format '${resolved.format}' out`);
    }
  }
  checkNumber(owner, 'maxLength', resolved.maxLength, {integer: true, min: 1});
  checkNumber(owner, 'batchSize', resolved.batchSize, {integer: true, min: 1});
  checkFlag(owner, 'packing', resolved.packing);
  checkFlag(owner, 'learnPrompts', resolved.learnPrompts);
  checkFlag(owner, 'shuffle', resolved.shuffle);
  checkNumber(owner, 'shuffleBuffer', resolved.shuffleBuffer, {integer: true, min: 1});
  checkNumber(owner, 'seed', resolved.seed, seedRange);
  checkChoice(owner, 'invalid', resolved.invalid, ['drop', 'throw']);
  checkFlag(owner, 'repeat', resolved.repeat);
  if (typeof resolved.select !== 'function') {
    throw new Error(`${owner}: select must be a function of an example's place in the file`);
  }
  if (resolved.limit !== Infinity)
    checkNumber(owner, 'limit', resolved.limit, {integer: true, min: 1});
  if (resolved.maxLength > positions) {
    throw new Error(
      `${owner}: maxLength must be at most the model's maxPositionEmbeddings (${positions}); ` +
        `got ${resolved.maxLength}`,
    );
  }
  return resolved;
}
