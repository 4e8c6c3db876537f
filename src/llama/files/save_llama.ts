import type * as tfl from '@tensorflow/tfjs-layers';
import {checkChoice, checkKnown, checkNumber} from '../../common/options';
import {INDEX_FILE} from './checkpoint';
import {BYTES, floatTypes, type FloatType} from '../../files/float_type';
import {isObject, jsonText, show} from '../../files/json';
import {configOfModel} from './model_config';
import {isOfOtherModel, originOf, TEMPLATE_FILE} from './origin';
import {elements, serializeHeader} from '../../files/safetensors_header';
import {intoShards, indexOf, isWeightFile, type Shard} from './shards';
import {listFiles} from '../../files/list_files';
import {openSink} from '../../files/open_sink';
import {writeFile, type FileSink, type ModelTarget} from '../../files/sink';
import {openSource} from '../../files/open_source';
import {readWhole} from '../../files/source';
import {
  CARD_FILE,
  cardText,
  checkCard,
  isOwnCard,
  promptForm,
  MAX_CARD_BYTES,
  type ModelCard,
} from './model_card';
import {encodedPieces} from './tensor_writer';
import {storedWeights, type StoredWeight} from './weights';
import {configJsonOf, configJsonText} from './write_config_json';

/** Options of `saveLlama`. */
export interface SaveLlamaOptions {
  /**
   * How the weights are stored; default `'F32'`, which loses nothing. `'BF16'` and `'F16'` take half the bytes; each value is rounded to the
   * nearest of the type, ties to even. `'BF16'` keeps 8 bits of precision and the range of float32; `'F16'` keeps 11 bits, and values from
   * 65520 on become infinite.
   */
  dtype?: FloatType;
  /** The most bytes of weights in a file; a single larger weight gets its own file. Default 5e9. */
  maxShardBytes?: number;
  /**
   * Further keys for `config.json`, such as `eos_token_id`; they replace those that the model was loaded
   * with, and must not describe another model. Default none.
   */
  configJson?: Readonly<Record<string, unknown>>;
  /**
   * A chat template, in Jinja, that is saved with the tokenizer in the place of its own, as `chat_template.jinja`. Default: that of the
   * model that was loaded.
   */
  chatTemplate?: string | undefined;
  /**
   * Writes a model card for the Hugging Face Hub, `README.md`, with this and what is known of the model that was loaded: its name
   * on the Hub and its license. A `README.md` that was not written by this library stays as it is, and no card is written.
   * Default: no card.
   */
  card?: ModelCard;
}

const OWNER = 'saveLlama';

/**
 * Saves a model of `loadLlama` or `createLlama` as Hugging Face's transformers do, so that versions
 * 4 and 5 load it: `config.json`, `model.safetensors` or shards with their index, and the other files that
 * came with a loaded model, such as `generation_config.json` and the tokenizer's. If that model has a tokenizer, such files of
 * another model are removed from the folder; otherwise they stay, as the tokenizer that you have put there.
 *
 * Weights are written one at a time. In a folder, the files replace those of an older checkpoint only when
 * all are complete; a save that fails leaves the older ones alone. If the program is stopped, `loadLlama` finds the
 * older model or the new one, never a part of each.
 *
 * ```ts
 * await saveLlama(model, 'tuned', {dtype: 'BF16'});
 * ```
 *
 * @param target A folder (in Node), a `FileSystemDirectoryHandle`, or a map that takes the files.
 * @returns The names of the files.
 * @throws if an option is unknown or wrong, if the model is not one of `createLlama` or `loadLlama`, or if
 *   a finite weight would become infinite in `dtype`.
 */
export async function saveLlama(
  model: tfl.LayersModel,
  target: ModelTarget,
  options: SaveLlamaOptions = {},
): Promise<string[]> {
  checkKnown(OWNER, options, ['dtype', 'maxShardBytes', 'configJson', 'card', 'chatTemplate']);
  const {dtype = 'F32', maxShardBytes = 5e9, configJson = {}, card, chatTemplate} = options;
  checkChoice(OWNER, 'dtype', dtype, floatTypes);
  checkNumber(OWNER, 'maxShardBytes', maxShardBytes, {integer: true, min: 1});
  if (!isObject(configJson)) {
    throw new Error(`${OWNER}: configJson must be a plain object; got ${show(configJson)}`);
  }
  if (card !== undefined) checkCard(OWNER, card);
  if (chatTemplate !== undefined && typeof chatTemplate !== 'string') {
    throw new Error(`${OWNER}: chatTemplate must be a text; got ${show(chatTemplate)}`);
  }
  const config = configOfModel(OWNER, model);
  const origin = originOf(model);
  const json = configJsonOf(OWNER, config, dtype, origin?.configJson, configJson);
  const shards = intoShards(storedWeights(OWNER, model, config), dtype, maxShardBytes);
  const index = indexOf(shards, dtype);
  const encoder = new TextEncoder();

  const sink = openSink(OWNER, target);
  const isCardFree = await mayReplaceCard(target);
  try {
    for (const shard of shards) await writeShard(sink, shard, dtype);
    const ownFiles = new Map(origin?.files);
    if (chatTemplate !== undefined) ownFiles.set(TEMPLATE_FILE, encoder.encode(chatTemplate));
    const others: Array<[string, Uint8Array]> = [...ownFiles];
    if (index) others.push([INDEX_FILE, encoder.encode(jsonText(index))]);
    if (card && isCardFree) {
      const text = cardText(card, origin?.base, promptForm(ownFiles));
      others.push([CARD_FILE, encoder.encode(text)]);
    }
    others.push(['config.json', encoder.encode(configJsonText(json))]);
    for (const [path, bytes] of others) await writeFile(sink, path, bytes.length, [bytes]);
    const paths = [...shards, ...others.map(([path]) => ({path}))].map(({path}) => path);
    // an earlier card would say of this model what was so of another, and a chat template have words of another tokenizer
    const isObsolete = (path: string): boolean =>
      isWeightFile(path) || (path === CARD_FILE && isCardFree) || isOfOtherModel(path, ownFiles);
    await sink.commit((path) => isObsolete(path) && !paths.includes(path));
    return paths;
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** Whether a target has no card, or one that this library wrote. */
async function mayReplaceCard(target: ModelTarget): Promise<boolean> {
  if (!(await listFiles(OWNER, target)).includes(CARD_FILE)) return true;
  const source = openSource(OWNER, target);
  const card = await readWhole(OWNER, source, CARD_FILE, MAX_CARD_BYTES).catch(() => null);
  return card !== null && isOwnCard(new TextDecoder().decode(card));
}

async function writeShard(
  sink: FileSink,
  {path, weights}: Shard<StoredWeight>,
  dtype: FloatType,
): Promise<void> {
  const header = serializeHeader(
    weights.map(({name, shape}) => ({name, dtype, shape})),
    {format: 'pt'},
  );
  const values = weights.reduce((sum, {shape}) => sum + elements(shape), 0);
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield header;
    for (const weight of weights) yield* encodedPieces(OWNER, weight, dtype);
  }
  await writeFile(sink, path, header.length + values * BYTES[dtype], pieces());
}
