/** A GGUF file as the files of the checkpoint that it was made of. */
import type {ArchitectureName} from '../../architectures';
import type {RopeScaling} from '../../architectures/model_options';
import type {ResolvedConfig} from '../../config';
import {readGgufHeader, type GgufHeader} from './header';
import {jsonText} from '../../../files/json';
import {mapSource} from '../../../files/map_source';
import type {FileSource, SourceFile} from '../../../files/source';
import {SINGLE_FILE} from '../checkpoint';
import {configJsonOf, configJsonText} from '../write_config_json';
import {modelKeys} from './key_names';
import {readArchitecture, readGgufConfig, readHeadDim} from './config';
import {MetadataKeys} from './metadata_keys';
import {ropeScalingOf} from './rope_freqs';
import {hasTokenizer, specialIds, tokenizerFiles} from './tokenizer';
import {chooseWeights, ROPE_TENSOR, type GgufWeight} from './weights';
import {weightsFile} from './weights_file';

/** What a GGUF file holds, as the files of a checkpoint. */
interface Contents {
  /** All but the weights. */
  files: FileSource;
  weights: readonly GgufWeight[];
  /** Of the file, when its header was read. */
  size: number;
  version: string | undefined;
}

/**
 * The files of the checkpoint that is in a GGUF file: `config.json`, `generation_config.json`, the tokenizer's if it has one, and
 * `model.safetensors` in float32, which is dequantized as it is read. The header is read when the first of them is opened.
 *
 * @param name What messages call the file.
 * @param open Opens the file; null if it is not there.
 */
export function ggufSource(
  owner: string,
  name: string,
  open: () => Promise<SourceFile | null>,
): FileSource {
  const named = `${owner}: ${name}`;
  const openFile = async (): Promise<SourceFile> => {
    const file = await open();
    if (!file) throw new Error(`${owner}: there is no file ${name}`);
    return file;
  };
  let contents: Promise<Contents> | undefined;
  const read = async (): Promise<Contents> => {
    const file = await openFile();
    try {
      return await readContents(owner, named, file);
    } finally {
      await file.close();
    }
  };
  return {
    name,
    async open(path) {
      contents ??= read();
      const {files, weights, size, version} = await contents;
      if (path !== SINGLE_FILE) return files.open(path);
      const file = await openFile();
      if (file.size === size && file.version === version) return weightsFile(file, name, weights);
      await file.close();
      throw new Error(`${named} was changed while it was read`);
    },
  };
}

async function readContents(owner: string, named: string, file: SourceFile): Promise<Contents> {
  const header = await readGgufHeader(named, file);
  const keys = new MetadataKeys(named, header.metadata);
  const architecture = readArchitecture(keys);
  const ropeScaling = await readRopeScaling(keys, architecture, header, file);
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const config = readGgufConfig(keys, architecture, tensors, ropeScaling);
  const weights = chooseWeights(named, header.tensors, config);
  const encoder = new TextEncoder();
  const texts = new Map([
    ...describe(named, keys, config),
    ...(hasTokenizer(keys) ? tokenizerFiles(keys, architecture) : []),
  ]);
  const files = new Map([...texts].map(([path, text]) => [path, encoder.encode(text)]));
  return {files: mapSource(owner, files), weights, size: file.size, version: file.version};
}

/** `config.json` and `generation_config.json`. */
function* describe(
  named: string,
  keys: MetadataKeys,
  config: ResolvedConfig,
): Generator<[path: string, text: string]> {
  const ids = specialIds(keys);
  yield ['config.json', configJsonText(configJsonOf(named, config, 'F32', undefined, ids.config))];
  if (Object.keys(ids.generation).length > 0) {
    yield ['generation_config.json', jsonText(ids.generation)];
  }
}

/** How wavelengths are stretched; null if they are not. */
async function readRopeScaling(
  keys: MetadataKeys,
  architecture: ArchitectureName,
  {tensors}: GgufHeader,
  file: SourceFile,
): Promise<RopeScaling | null> {
  const tensor = tensors.find(({name}) => name === ROPE_TENSOR);
  if (!tensor) return null;
  const {type, shape, from, to} = tensor;
  // a number for each pair of values of a head
  const isPossible = shape.length === 1 && shape[0] === readHeadDim(keys, architecture) / 2;
  const theta = keys.positive(`${architecture}.${modelKeys.ropeBase}`) ?? 10_000;
  const divisors = isPossible ? type.decode(await file.read(from, to)) : [];
  const scaling = isPossible ? ropeScalingOf(divisors, theta) : null;
  if (scaling) return scaling;
  throw new Error(
    `${keys.owner}: the wavelengths of tensor "${ROPE_TENSOR}" are not stretched as LLaMA 3's are, which alone is supported`,
  );
}
