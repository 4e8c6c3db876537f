/**
 * The first half of a check that other programs read what `saveGguf` and `tfjs-owlore export` write: makes GGUF files of a model in all their
 * types, and writes beside each what comes of it here. check_with_llama_cpp.py is the other half.
 *
 *     npx tsx scripts/save_for_llama_cpp.ts SOURCE FOLDER
 *     npx tsx scripts/save_for_llama_cpp.ts FOLDER
 *
 * SOURCE is a folder of transformers with a tokenizer; without it the models are small and random, one of each architecture. For each
 * type there are FOLDER/NAME-TYPE.gguf, and .safetensors and .json with logits, ids of texts and a greedy text; FOLDER/NAME has the model itself.
 */
import {cpSync, mkdirSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {serializeSafetensors} from '../src/files/safetensors';
import {
  createLlama,
  generate,
  loadLlama,
  loadTokenizer,
  saveLlama,
  type LlamaConfig,
} from '../src/llama';
import {exportGguf} from '../src/llama/files/gguf/save_gguf';
import {ggufDtypes} from '../src/llama/files/gguf/write_gguf';
import {ggufPath} from '../test/llama/files/gguf/fixtures';
import {tokenizerFolder} from '../test/llama/text/tokenizers';
import {loadBackend} from '../tools/load_backend';

const TEXTS = [
  ...['The cat sat on the mat.', "it's 12345 67", ' two  spaces', 'a\n\nb\tc', 'élan 日本 😀'],
  ...['def f(x):\n    return x + 1\n', '<|im_end|>x'],
];
const PROMPT = 'the cat sat on the';

/** With wide rows, so that all types have blocks. */
const sizes = {
  ...{hiddenSize: 64, intermediateSize: 96, numHiddenLayers: 3, numAttentionHeads: 4},
  ...{numKeyValueHeads: 2, maxPositionEmbeddings: 256, initializerRange: 0.15, seed: 7},
};
const ropeScaling = {
  ...{factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192},
};
const small: Record<string, [tokenizer: string, config: Partial<LlamaConfig>]> = {
  llama: [tokenizerFolder('bytelevel'), {}],
  llama3: [tokenizerFolder('llama3like'), {headDim: 32, ropeTheta: 500_000, ropeScaling}],
  llamaSp: [ggufPath('llama'), {tieWordEmbeddings: true}],
  mistral: [tokenizerFolder('bytelevel'), {architecture: 'mistral', slidingWindow: 128}],
  qwen2: [tokenizerFolder('bytelevel'), {architecture: 'qwen2', ropeTheta: 1e6}],
  qwen3: [ggufPath('qwen3'), {architecture: 'qwen3', headDim: 32, rmsNormEps: 1e-6}],
  gemma3: [
    ggufPath('gemma3'),
    {
      ...{architecture: 'gemma3', headDim: 32, slidingWindow: 16, ropeLocalBaseFreq: 1e4},
      ...{ropeTheta: 1e6, numHiddenLayers: 7, tieWordEmbeddings: true, rmsNormEps: 1e-6},
      layerTypes: Array.from({length: 7}, (_, i) =>
        i === 5 ? 'full_attention' : 'sliding_attention',
      ),
    },
  ],
};

/** A folder with a small model and a tokenizer. */
async function makeSmall(name: string, folder: string): Promise<void> {
  const [tokenizer, config] = small[name]!;
  const {vocabSize} = await loadTokenizer(tokenizer);
  const model = createLlama({...sizes, vocabSize, ...config});
  // norms and biases are 0 or 1 otherwise
  const weights = model
    .getWeights()
    .map((weight, i) =>
      weight.rank === 1
        ? tf.add(weight, tf.randomNormal(weight.shape, 0, 0.2, 'float32', i))
        : weight,
    );
  model.setWeights(weights);
  if (tokenizer.endsWith('.gguf')) {
    const {model: other, files} = await loadLlama(tokenizer, {kernels: 'none'});
    other.dispose();
    await saveLlama(model, folder);
    for (const [path, bytes] of files) writeFileSync(join(folder, path), bytes);
  } else {
    await saveLlama(model, folder);
    cpSync(tokenizer, folder, {recursive: true});
  }
  model.dispose();
}

async function describe(source: string, name: string, folder: string): Promise<void> {
  for (const dtype of ggufDtypes) {
    const path = join(folder, `${name}-${dtype}`);
    await exportGguf(source, `${path}.gguf`, {dtype});
    const {model, config} = await loadLlama(`${path}.gguf`);
    const tokenizer = await loadTokenizer(`${path}.gguf`);
    const prompt = tokenizer.encode(PROMPT);
    const logits = tf.tidy(
      () => model.predict(tf.tensor2d([prompt], undefined, 'int32')) as tf.Tensor,
    );
    const {ids} = await generate(model, prompt, {maxNewTokens: 24});
    writeFileSync(
      `${path}.safetensors`,
      serializeSafetensors(
        new Map([['logits', {shape: logits.shape, values: await logits.data<'float32'>()}]]),
      ),
    );
    const told = {
      ...{architecture: config.architecture, headDim: config.headDim, source: name, dtype},
      ...{queryPreAttnScalar: config.queryPreAttnScalar, ropeScaling: config.ropeScaling},
      ...{prompt, ids, text: tokenizer.decode(ids)},
      texts: TEXTS.map((text) => ({text, ids: tokenizer.encode(text)})),
    };
    writeFileSync(`${path}.json`, JSON.stringify(told));
    tf.dispose(logits);
    model.dispose();
    console.log(`wrote ${path}`);
  }
}

const [first, second] = process.argv.slice(2);
if (first === undefined) {
  console.error('usage: npx tsx scripts/save_for_llama_cpp.ts [SOURCE] FOLDER');
  process.exit(1);
}
await loadBackend('cpu');
await tf.setBackend('cpu');
if (second === undefined) {
  for (const name of Object.keys(small)) {
    const folder = join(first, name);
    mkdirSync(folder, {recursive: true});
    await makeSmall(name, folder);
    await describe(folder, name, first);
  }
} else {
  await loadBackend('tensorflow');
  await tf.setBackend('tensorflow');
  mkdirSync(second, {recursive: true});
  const name = basename(first);
  cpSync(first, join(second, name), {recursive: true});
  await describe(first, name, second);
}
