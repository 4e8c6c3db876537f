/** How a model is to be drawn from, as its authors have written it down. */
import {checkFlag, checkNumber, type NumberRange} from '../../common/options';
import {sayOnce} from '../../common/say_once';
import {parseJsonObject, type JsonObject} from '../../files/json';
import {readWhole, type ModelSource} from '../../files/source';
import {samplingNames, samplingOptions, type GenerateOptions} from '../generation/generate_options';
import type {SamplingOptions} from '../generation/token_probabilities';
import {openNamedSource, type SourceOptions} from './named_source';

/** Options of `generate` from a model's files. Those of which the files say nothing are not there. */
export type GenerationConfig = Pick<
  GenerateOptions,
  'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty'
> & {
  /** The tokens after which the model has no more to say; empty if no file says. */
  stop: number[];
};

/** The name of the file. */
export const GENERATION_CONFIG = 'generation_config.json';

/** No file of its kind has more bytes than some hundreds. */
const MAX_BYTES = 1_000_000;

/** The keys of the file. */
const KEYS = {
  temperature: 'temperature',
  topK: 'top_k',
  topP: 'top_p',
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
} as const satisfies Record<keyof SamplingOptions, string>;

/** What transformers takes for keys that a file lacks by which tokens are drawn. */
const DRAWN = {temperature: 1, topK: 50} satisfies Partial<SamplingOptions>;

/**
 * What `generation_config.json` says, as transformers understands it, and the tokens that end a text by it and by `config.json`. What
 * it says of lengths is left to the program. A value that cannot be is left out, and a warning names its key.
 *
 * @param owner What messages start with.
 * @param bytes The file; undefined if there is none.
 */
export function readGenerationConfig(
  owner: string,
  bytes: Uint8Array | undefined,
  {configJson, vocabSize}: {configJson: JsonObject; vocabSize: number},
): GenerationConfig {
  const named = `${owner}: ${GENERATION_CONFIG}`;
  const json = attempt(() => (bytes ? parseJsonObject(named, bytes) : {})) ?? {};
  /** The value of a key; undefined if it has none, or one that cannot be. */
  const valueOf = (key: string, check: (value: unknown) => void): unknown => {
    const value = json[key] ?? undefined;
    return value !== undefined && isRight(() => check(value)) ? value : undefined;
  };
  const isDrawn = valueOf('do_sample', (value) => checkFlag(named, 'do_sample', value)) === true;
  const stop = [
    ...tokenIds(named, json, vocabSize),
    ...tokenIds(`${owner}: config.json`, configJson, vocabSize),
  ];
  const config: GenerationConfig = {
    ...(isDrawn ? DRAWN : {temperature: 0}),
    stop: [...new Set(stop)],
  };
  for (const name of samplingNames) {
    const key = KEYS[name];
    if (name === 'temperature' && !isDrawn) continue;
    if (name === 'topK' && json[key] === 0) {
      config.topK = null; // in the file 0 stands for all
      continue;
    }
    const range = samplingOptions[name].check as NumberRange;
    const value = valueOf(key, (each) => checkNumber(named, key, each, range));
    if (value !== undefined) config[name] = value as number;
  }
  return config;
}

/** The same of a model of which nothing else is read, as {@link readGenerationConfig}. */
export async function openGenerationConfig(
  owner: string,
  source: ModelSource,
  model: {configJson: JsonObject; vocabSize: number},
  options: SourceOptions,
): Promise<GenerationConfig> {
  const files = await openNamedSource(owner, source, options);
  const bytes = await readWhole(owner, files, GENERATION_CONFIG, MAX_BYTES);
  return readGenerationConfig(owner, bytes ?? undefined, model);
}

/** `eos_token_id` of a file: one, or a list of them. */
function tokenIds(named: string, {eos_token_id: given}: JsonObject, vocabSize: number): number[] {
  const range = {integer: true, min: 0, exclusiveMax: vocabSize};
  const ids = [given ?? []].flat();
  // a warning for the first that cannot be, and not for each
  isRight(() => ids.forEach((id) => checkNumber(named, 'eos_token_id', id, range)));
  return (ids as number[]).filter((id) => Number.isInteger(id) && id >= 0 && id < vocabSize);
}

/** Whether `check` does not throw; if it does, a warning has its message. */
function isRight(check: () => void): boolean {
  return attempt(() => (check(), true)) ?? false;
}

/** What `body` gives; undefined, and a warning, if it throws. */
function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    sayOnce('warn', `${(error as Error).message}; it is left out`);
    return undefined;
  }
}
