import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {installKernelsForBackend} from '../../kernels/install_for_backend';
import {checkChoice, checkFlag, checkKnown} from '../../common/options';
import type {LlamaConfig, ResolvedConfig} from '../config';
import {buildLlama, checkedKernels, type LlamaKernelOptions} from '../model';
import {openCheckpoint, type Checkpoint, type StoredTensor} from './checkpoint';
import {readConfigJson} from './config_json';
import {GENERATION_CONFIG, readGenerationConfig, type GenerationConfig} from './generation_config';
import type {FloatType} from '../../files/float_type';
import {MAX_JSON_BYTES, parseJsonObject, show, type JsonObject} from '../../files/json';
import {readBaseOf, readOtherFiles, setOrigin, type Origin} from './origin';
import {hubNameOfPlace} from '../../files/hub_name';
import {openNamedSource, type SourceOptions} from './named_source';
import {readAll, type FileSource, type ModelSource, type SourceFile} from '../../files/source';
import {canPack, keepPacked} from '../../model/packed_weight';
import {multipliesPacked, placeholder} from '../../model/packed_matrix';
import {freeReadsOfSave} from '../../tfjs/models';
import {haveEqualValues, readHalves, readValues} from './tensor_reader';
import {onBackend} from './value_memory';
import {EMBEDDING, HEAD, weightShapes, type WeightShape} from './weight_shapes';

/** The choices of the option `frozenDtype` of `loadLlama`: those for a model that is trained, and all. */
export const frozenDtypes = ['F32', 'BF16'] as const;
export const frozenDtypeChoices = [...frozenDtypes, 'auto'] as const;

/** Options of `loadLlama`. */
export interface LoadLlamaOptions extends LlamaKernelOptions, SourceOptions {
  /** As in `LlamaConfig`; default false. */
  headInLoss?: boolean;
  /**
   * How matrices are kept while they do not train, those of blocks, of the embedding and of the head. `'BF16'`: as bfloat16, two
   * in each number of an int32 tensor, in half of the memory; a `LayerSamplingCallback` gives a block its float32 weights when it
   * turns it on, and rounds them at random, unbiased and by its seed, when it turns it off; it does the same with embedding and
   * head, if they train. Train such a model with an `OwLoreOptimizer` and that callback. On cpu, wasm, tensorflow and webgpu, with
   * this library's kernels; elsewhere a warning says that all stays float32. `'auto'`: as bfloat16 those that are bfloat16 in the
   * files, if the backend multiplies with them as they are, which is faster: for generation on wasm. Default `'F32'`.
   */
  frozenDtype?: 'F32' | 'BF16' | 'auto';
  /**
   * Called when configuration and headers have been checked, before anything is computed, and awaited: it may select tfjs's backend for
   * the model. If it throws, `loadLlama` throws the same. Default none.
   */
  onOpened?: (outline: LlamaOutline) => unknown;
  /**
   * Called after each tensor with the bytes read so far and the bytes of all tensors. Those of a GGUF file count as float32. Default
   * none.
   */
  onProgress?: (bytes: number, total: number) => void;
}

/** What is known of a model before its weights are read. */
export interface LlamaOutline {
  config: Required<LlamaConfig>;
  /** How many numbers its weights have. */
  numbers: number;
  /** How many of these are bfloat16 in the files, in matrices: with `frozenDtype: 'auto'` they may stay so. */
  bfloat16: number;
}

/** A model and what came with it. */
export interface LoadedLlama {
  /** Belongs to the caller, who disposes of it. */
  model: tfl.LayersModel;
  /** The configuration with which `createLlama` makes such a model. */
  config: Required<LlamaConfig>;
  /** `config.json` as it was read, with token ids such as `eos_token_id`. */
  configJson: Readonly<Record<string, unknown>>;
  /**
   * Options of `generate` by `generation_config.json`, as transformers understands it, with the tokens that end a text:
   * `generate(model, prompt, {...generationConfig})`. Without draws the temperature is 0. Lengths in that file are left to the program.
   */
  generationConfig: GenerationConfig;
  /** The other files, such as `generation_config.json` and the tokenizer's; `loadTokenizer` takes this map as its source. */
  files: ReadonlyMap<string, Uint8Array>;
  /** The number type that all of its matrices have in the files; F32 if they have several, or the file is a GGUF file. */
  dtype: FloatType;
  /** `owner/name@commit` of a model from the Hub, or the revision in its URL in place of the commit; null if it is from elsewhere. */
  hubName: string | null;
}

const OWNER = 'loadLlama';
const CONFIG_FILE = 'config.json';

/**
 * Loads a LLaMA, SmolLM2, Mistral, Qwen2, Qwen3 or Gemma 3 (text) model from files as Hugging Face's
 * transformers 4 and 5 write them: `config.json`, and `model.safetensors` or shards with their index, in F32, F16 or
 * BF16.
 *
 * Or from a GGUF file of llama.cpp or Ollama: its tensors are dequantized as they are read, its tokenizer becomes
 * the files of one. `docs/language-models.md` says which files are taken.
 *
 * The weights become float32. They are read one at a time into the model's variables: beyond the
 * model itself no more than one tensor is in memory. All headers are checked against `config.json`
 * before the first weight is read.
 *
 * Tied weights follow transformers 5: a model with `tie_word_embeddings` may lack either `lm_head.weight` or
 * the embedding; if the files have both and they differ, they are not tied.
 *
 * ```ts
 * const {model, config, files} = await loadLlama('HuggingFaceTB/SmolLM2-135M-Instruct');
 * const tokenizer = await loadTokenizer(files);
 * ```
 *
 * A name on the Hugging Face Hub, `owner/name` or `owner/name@revision`, is one if there is no folder of that name. In Node, the
 * files that are needed are downloaded into the cache that Python's huggingface_hub has, too (`HF_HOME`, `HF_HUB_CACHE`), checked,
 * and read from there; a download that was cut off goes on. `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` mean what they mean
 * there. A page reads the files from the Hub's URLs.
 *
 * @param source A folder or a `.safetensors` file in one (in Node), the http(s) URL or the `FileSystemDirectoryHandle` of a folder, a
 *   name on the Hub, or the files by name; or the path or URL of a GGUF file, or that file alone by name.
 * @throws if an option is unknown or wrong, if a file is missing, damaged or leads out of the
 *   source, if `config.json` asks for something that is not supported, or if a tensor is missing,
 *   unknown or of another shape; then nothing is left allocated.
 */
export async function loadLlama(
  source: ModelSource,
  options: LoadLlamaOptions = {},
): Promise<LoadedLlama> {
  checkKnown(OWNER, options, [
    ...['headInLoss', 'frozenDtype', 'request', 'onDownload', 'onOpened', 'onProgress', 'kernels'],
  ]);
  const {headInLoss = false, frozenDtype = 'F32', onOpened, onProgress} = options;
  checkFlag(OWNER, 'headInLoss', headInLoss);
  checkChoice(OWNER, 'frozenDtype', frozenDtype, frozenDtypeChoices);
  const kernels = checkedKernels(OWNER, options);
  const opened = await openLlama(source, options);
  try {
    const {tensors, hubName, origin} = opened;
    const {configJson, files, dtype} = origin;
    const config = {...opened.config, headInLoss};
    const {vocabSize} = config;
    const recommended = files.get(GENERATION_CONFIG);
    const generationConfig = readGenerationConfig(OWNER, recommended, {configJson, vocabSize});
    await onOpened?.(outlineOf(config, tensors));
    if (kernels === 'auto') await installKernelsForBackend();
    const packs = whichArePacked(frozenDtype);
    const model = await loadModel(config, tensors, packs, onProgress);
    setOrigin(model, origin);
    return {model, config, configJson, generationConfig, files, dtype, hubName};
  } finally {
    await opened.close();
  }
}

/** A model whose files are open, and checked but for the values of its weights. */
export interface OpenedLlama extends Pick<LoadedLlama, 'hubName'> {
  config: ResolvedConfig;
  /** By the names of its weights. */
  tensors: ReadonlyMap<string, ChosenTensor>;
  origin: Origin;
  close(): Promise<void>;
}

/** Opens the files of a model; the caller closes it. */
export async function openLlama(
  source: ModelSource,
  options: SourceOptions = {},
): Promise<OpenedLlama> {
  const opened = await openNamedSource(OWNER, source, options);
  const configFile = await openConfigFile(OWNER, opened);
  let checkpoint: Checkpoint | undefined;
  try {
    const configJson = await readConfigFile(OWNER, configFile);
    const described = readConfigJson(`${OWNER}: ${CONFIG_FILE}`, configJson);
    checkpoint = await openCheckpoint(OWNER, opened);
    const tied = await resolveTie(checkpoint, described);
    const config = {...described, tieWordEmbeddings: tied};
    const tensors = chooseTensors(checkpoint, config);
    const files = await readOtherFiles(OWNER, opened);
    const hub = opened.hub ? await opened.hub() : hubNameOfPlace(opened.name);
    const base = await readBaseOf(OWNER, opened, hub?.id);
    const origin = {configJson, files, base, dtype: dtypeOf(tensors.values())};
    const hubName = hub && `${hub.id}@${hub.revision}`;
    // throws if a model was saved there meanwhile, whose weights these may be
    if (configFile.version !== undefined) await configFile.read(0, 0);
    return {config, tensors, origin, hubName, close: checkpoint.close};
  } catch (error) {
    await checkpoint?.close();
    throw error;
  } finally {
    await configFile.close();
  }
}

function dtypeOf(tensors: Iterable<ChosenTensor>): FloatType {
  const types = new Set([...tensors].filter(isMatrix).map(({dtype}) => dtype));
  const [type = 'F32'] = types;
  return types.size > 1 ? 'F32' : type;
}

function outlineOf(
  config: ResolvedConfig,
  tensors: ReadonlyMap<string, ChosenTensor>,
): LlamaOutline {
  const outline = {config, numbers: 0, bfloat16: 0};
  for (const tensor of tensors.values()) {
    const size = tf.util.sizeFromShape([...tensor.shape]);
    outline.numbers += size;
    if (isMatrix(tensor) && tensor.dtype === 'BF16') outline.bfloat16 += size;
  }
  return outline;
}

/** The `config.json` of a model, and nothing else of it. */
export async function readModelConfig(
  owner: string,
  source: ModelSource,
  options: SourceOptions = {},
): Promise<JsonObject> {
  const file = await openConfigFile(owner, await openNamedSource(owner, source, options));
  try {
    return await readConfigFile(owner, file);
  } finally {
    await file.close();
  }
}

async function openConfigFile(owner: string, files: FileSource): Promise<SourceFile> {
  const file = await files.open(CONFIG_FILE);
  if (!file) throw new Error(`${owner}: there is no ${CONFIG_FILE} in ${files.name}`);
  return file;
}

async function readConfigFile(owner: string, file: SourceFile): Promise<JsonObject> {
  const bytes = await readAll(owner, file, MAX_JSON_BYTES);
  return parseJsonObject(`${owner}: ${CONFIG_FILE}`, bytes);
}

/** Whether head and embedding are tied: as the configuration says, unless the files have both and they differ. */
async function resolveTie(
  {tensors}: Checkpoint,
  {tieWordEmbeddings}: ResolvedConfig,
): Promise<boolean> {
  const [embedding, head] = [tensors.get(EMBEDDING), tensors.get(HEAD)];
  if (!tieWordEmbeddings || !embedding || !head) return tieWordEmbeddings;
  return tf.util.arraysEqual(embedding.shape, head.shape) && haveEqualValues(embedding, head);
}

/** A tensor of a checkpoint for a weight of a model. */
type ChosenTensor = StoredTensor & Pick<WeightShape, 'transposed'>;

/**
 * The tensor of each weight of a model.
 *
 * @throws unless the checkpoint has these weights and no others, in the shapes of the model.
 */
function chooseTensors({tensors}: Checkpoint, config: ResolvedConfig): Map<string, ChosenTensor> {
  const chosen = new Map<string, ChosenTensor>();
  const redundant = config.tieWordEmbeddings ? HEAD : null;
  for (const {name, shape, meaning, transposed} of weightShapes(config)) {
    const tensor = tensors.get(name) ?? (name === EMBEDDING && tensors.get(redundant ?? ''));
    if (!tensor) throw missing(name, tensors);
    if (!tf.util.arraysEqual(tensor.shape, shape)) {
      throw new Error(
        `${OWNER}: ${tensor.file.path}: tensor ${show(tensor.name)} must have shape ` +
          `[${shape.join(', ')}], of ${meaning} in ${CONFIG_FILE}; got [${tensor.shape.join(', ')}]`,
      );
    }
    chosen.set(name, {...tensor, transposed});
  }
  for (const [name, {file}] of tensors) {
    if (chosen.has(name) || name === redundant) continue;
    throw new Error(
      `${OWNER}: ${file.path}: tensor ${show(name)} is no weight of the model that ${CONFIG_FILE} ` +
        'describes; are the two from the same checkpoint?',
    );
  }
  return chosen;
}

function missing(name: string, tensors: ReadonlyMap<string, StoredTensor>): Error {
  const way =
    name === HEAD
      ? `; if the head is the embedding, ${CONFIG_FILE} must have "tie_word_embeddings": true`
      : '; are the two from the same checkpoint?';
  return new Error(
    `${OWNER}: no file has tensor ${show(name)}, a weight of the model that ${CONFIG_FILE} ` +
      `describes, among ${tensors.size} tensors${way}`,
  );
}

/** Of a tensor, whether it is to be packed. */
function whichArePacked(
  frozenDtype: (typeof frozenDtypeChoices)[number],
): (tensor: ChosenTensor) => boolean {
  const isAllowed =
    frozenDtype === 'BF16' ? mayPack() : frozenDtype === 'auto' && multipliesPacked();
  return (tensor) =>
    isAllowed && isMatrix(tensor) && (frozenDtype === 'BF16' || tensor.dtype === 'BF16');
}

/** Whether frozen weights can be kept packed; if not, a warning says so. */
function mayPack(): boolean {
  if (canPack()) return true;
  console.warn(
    `${OWNER}: frozenDtype: 'BF16' needs this library's kernels on cpu, wasm (with SIMD), tensorflow or webgpu; on ` +
      `'${tf.getBackend()}' as it is now all weights stay float32`,
  );
  return false;
}

/**
 * The model with these weights. They are read first and the model is built from them, so that no weight is
 * ever in memory twice, and those that are packed never as float32.
 */
async function loadModel(
  config: ResolvedConfig,
  tensors: ReadonlyMap<string, ChosenTensor>,
  packs: (tensor: ChosenTensor) => boolean,
  onProgress?: LoadLlamaOptions['onProgress'],
): Promise<tfl.LayersModel> {
  const values = new Map<string, tf.Tensor>();
  const packed = new Map<string, tf.Tensor>();
  try {
    const total = sizeOf(tensors.values());
    let done = 0;
    for (const [name, tensor] of inReadingOrder(tensors)) {
      const halves = packs(tensor) ? await readPacked(tensor) : null;
      if (halves) packed.set(name, halves);
      else values.set(name, await readTensor(tensor));
      done += sizeOf([tensor]);
      onProgress?.(done, total);
    }
    const taken = (from: Map<string, tf.Tensor>, name: string): tf.Tensor => {
      const value = from.get(name)!;
      from.delete(name);
      return value;
    };
    const arePacked = packed.size > 0;
    const model = buildLlama(
      config,
      (name) =>
        packed.has(name) ? placeholder(modelShapeOf(tensors.get(name)!)) : taken(values, name),
      (name, weight) => {
        if (packed.has(name)) keepPacked(weight, taken(packed, name));
      },
    );
    // a packed weight is read as a new tensor
    if (arePacked) freeReadsOfSave(model);
    return model;
  } finally {
    tf.dispose([...values.values(), ...packed.values()]);
  }
}

/** Norms and biases are small, and stay float32. */
function isMatrix({shape}: ChosenTensor): boolean {
  return shape.length === 2;
}

/**
 * File by file and front to back, as a server without range requests sends them. The file with the largest
 * tensor comes first, while there is little else in memory.
 */
function inReadingOrder(tensors: ReadonlyMap<string, ChosenTensor>): Array<[string, ChosenTensor]> {
  const largest = new Map<unknown, number>();
  for (const tensor of tensors.values()) {
    largest.set(tensor.file, Math.max(largest.get(tensor.file) ?? 0, sizeOf([tensor])));
  }
  const rank = [...largest].sort(([, a], [, b]) => b - a).map(([file]) => file);
  return [...tensors].sort(
    ([, a], [, b]) => rank.indexOf(a.file) - rank.indexOf(b.file) || a.from - b.from,
  );
}

function sizeOf(tensors: Iterable<StoredTensor>): number {
  let bytes = 0;
  for (const {from, to} of tensors) bytes += to - from;
  return bytes;
}

/** A tensor as the model has it. */
async function readTensor(tensor: ChosenTensor): Promise<tf.Tensor> {
  const values = await inMemory(tensor, () => readValues(tensor, tensor.transposed));
  return onBackend(values, modelShapeOf(tensor));
}

/** A tensor packed; null if it cannot be, which a warning says. */
async function readPacked(tensor: ChosenTensor): Promise<tf.Tensor | null> {
  const halves = await inMemory(tensor, () => readHalves(tensor, tensor.transposed));
  if (halves) {
    const {buffer, byteOffset, length} = halves;
    const pairs = Math.ceil(length / 2);
    return tf.keep(onBackend(new Int32Array(buffer, byteOffset, pairs), [pairs]));
  }
  console.warn(
    `${OWNER}: ${tensor.file.path}: tensor ${show(tensor.name)} has a number that would be infinite as bfloat16; this ` +
      'weight stays float32',
  );
  return null;
}

/** What `read` gives; if it does not fit into memory, an error that says of which tensor. */
async function inMemory<T>({file, name, shape}: ChosenTensor, read: () => Promise<T>): Promise<T> {
  return read().catch((cause: unknown) => {
    if (!(cause instanceof RangeError)) throw cause;
    throw new Error(
      `${OWNER}: ${file.path}: tensor ${show(name)} of shape [${shape.join(', ')}] does not fit into ` +
        `the memory of this machine (${cause.message})`,
      {cause},
    );
  });
}

function modelShapeOf({shape, transposed}: ChosenTensor): number[] {
  return transposed ? [...shape].reverse() : shape;
}
