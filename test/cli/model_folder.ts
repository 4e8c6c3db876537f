import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {
  createLlama,
  loadTokenizer,
  saveLlama,
  type LlamaConfig,
  type Tokenizer,
} from '../../src/llama';
import {tokenizerFolder} from '../llama/text/tokenizers';

/** A folder for the files of a test, with a model and its tokenizer in `model/`. */
export interface ModelFolder {
  path: string;
  model: string;
  tokenizer: Tokenizer;
  /** Writes a file of examples, a line each; returns its path. */
  writeLines(name: string, lines: readonly unknown[]): string;
  /** Writes a file; returns its path. */
  write(name: string, content: string | Uint8Array): string;
  remove(): void;
}

/**
 * The folder, with a small random model of 64 positions and a byte-level tokenizer with a chat template.
 *
 * @param config What the model has beyond that.
 */
export async function createModelFolder(config: Partial<LlamaConfig> = {}): Promise<ModelFolder> {
  const path = mkdtempSync(join(tmpdir(), 'owlore-cli-'));
  const model = join(path, 'model');
  const tokenizer = await loadTokenizer(tokenizerFolder('bytelevel'));
  const llama = createLlama({
    vocabSize: tokenizer.vocabSize,
    hiddenSize: 16,
    intermediateSize: 24,
    numHiddenLayers: 3,
    numAttentionHeads: 2,
    maxPositionEmbeddings: 64,
    initializerRange: 0.3,
    seed: 3,
    ...config,
  });
  await saveLlama(llama, model, {configJson: {eos_token_id: tokenizer.eosTokenId}});
  llama.dispose();
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(tokenizerFolder('bytelevel') + name, join(model, name));
  }
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(path, name), content);
    return join(path, name);
  };
  return {
    path,
    model,
    tokenizer,
    write,
    writeLines: (name, lines) =>
      write(name, lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
    remove: () => rmSync(path, {recursive: true}),
  };
}

/** A model without a chat template, and without weights: what refuses it must not have read them. */
export async function createFolderWithoutTemplate(): Promise<ModelFolder> {
  const folder = await createModelFolder();
  const path = 'model/tokenizer_config.json';
  const config = JSON.parse(readFileSync(join(folder.path, path), 'utf8')) as object;
  folder.write(path, JSON.stringify({...config, chat_template: undefined}));
  rmSync(join(folder.model, 'model.safetensors'));
  return folder;
}

/** A copy of the model in a folder of its own, one weight of whose block 1 is not finite; returns its path. */
export function copyWithNaN(folder: ModelFolder): string {
  const copy = join(folder.path, 'nan');
  cpSync(folder.model, copy, {recursive: true});
  const file = join(copy, 'model.safetensors');
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
    string,
    {data_offsets: [number, number]}
  >;
  const {data_offsets: places} = header['model.layers.1.self_attn.q_proj.weight']!;
  bytes.writeFloatLE(NaN, 8 + length + places[0]);
  writeFileSync(file, bytes);
  return copy;
}

/** A copy of the model in a folder of its own, whose weights are 0 and take 5 GB, on the disk nothing; returns its path. */
export function copyOfFiveGigabytes(folder: ModelFolder): string {
  const copy = join(folder.path, 'large');
  cpSync(folder.model, copy, {recursive: true});
  const sizes = {hidden_size: 16384, intermediate_size: 25600, num_hidden_layers: 1};
  const heads = {num_attention_heads: 1, num_key_value_heads: 1, head_dim: 128};
  const file = join(copy, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as {vocab_size: number};
  writeFileSync(file, JSON.stringify({...config, ...sizes, ...heads, tie_word_embeddings: true}));
  const [d, ff, head] = [16384, 25600, 128];
  const shapes: Record<string, number[]> = {
    'model.embed_tokens.weight': [config.vocab_size, d],
    'model.layers.0.input_layernorm.weight': [d],
    'model.layers.0.self_attn.q_proj.weight': [head, d],
    'model.layers.0.self_attn.k_proj.weight': [head, d],
    'model.layers.0.self_attn.v_proj.weight': [head, d],
    'model.layers.0.self_attn.o_proj.weight': [d, head],
    'model.layers.0.post_attention_layernorm.weight': [d],
    'model.layers.0.mlp.gate_proj.weight': [ff, d],
    'model.layers.0.mlp.up_proj.weight': [ff, d],
    'model.layers.0.mlp.down_proj.weight': [d, ff],
    'model.norm.weight': [d],
  };
  let end = 0;
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const start = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    return [name, {dtype: 'F32', shape, data_offsets: [start, end]}];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(tensors)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const weights = join(copy, 'model.safetensors');
  writeFileSync(weights, Buffer.concat([length, header]));
  truncateSync(weights, 8 + header.length + end);
  return copy;
}

/** Examples that say which they are. */
export function texts(count: number): Array<{text: string}> {
  return Array.from({length: count}, (_, i) => ({text: `the cat ${i} sat on the mat`}));
}
