/**
 * What a token of `generate` costs after a text of some length, and what it would cost without the key-value cache: a forward
 * pass over the whole text:
 *
 *   npm run bench:generation                      # on wasm, about a minute
 *   npm run bench:generation -- --backend tensorflow
 *
 * The model is a LLaMA in the proportions of SmolLM2-135M, with a third of its blocks and a sixth of its vocabulary. Medians, as
 * good as the machine was quiet.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import {selectBackend} from '../../tools/select_backend';
import {createLlama, generate} from '../../src/llama';
import {median} from '../harness/statistics';

const {values} = parseArgs({
  options: {
    backend: {type: 'string', default: 'wasm'},
    tokens: {type: 'string', default: '12'},
    passes: {type: 'string', default: '3'},
  },
});
const [tokens, passes] = [Number(values.tokens), Number(values.passes)];

const lengths = [16, 128, 512, 1024];
const config = {
  vocabSize: 8192,
  hiddenSize: 576,
  intermediateSize: 1536,
  numHiddenLayers: 10,
  numAttentionHeads: 9,
  numKeyValueHeads: 3,
  maxPositionEmbeddings: 2048,
  tieWordEmbeddings: true,
  seed: 1,
};

const backend = await selectBackend(values.backend);

const model = createLlama(config);
const prompt = (length: number): number[] =>
  Array.from({length}, (_, i) => (7919 * i) % config.vocabSize);

/** Milliseconds from one token to the next, without the pass over the prompt. */
async function perToken(length: number): Promise<number> {
  const times: number[] = [];
  let last = performance.now();
  await generate(model, prompt(length), {
    maxNewTokens: tokens + 1,
    onToken: () => {
      const now = performance.now();
      times.push(now - last);
      last = now;
    },
  });
  return median(times.slice(1));
}

/** Milliseconds of the forward pass that the next token would take without a cache. */
async function fullPass(length: number): Promise<number> {
  const times: number[] = [];
  for (let pass = 0; pass <= passes; pass++) {
    const start = performance.now();
    const logits = tf.tidy(() => {
      const all = model.predict(tf.tensor2d([prompt(length)], undefined, 'int32')) as tf.Tensor3D;
      return tf.slice(all, [0, length - 1, 0], [1, 1, config.vocabSize]);
    });
    await logits.data();
    logits.dispose();
    if (pass > 0) times.push(performance.now() - start);
  }
  return median(times);
}

console.log(`${backend}, ${model.countParams()} parameters, milliseconds a token`);
console.log('positions before   with cache   full pass');
for (const length of lengths) {
  const [cached, full] = [await perToken(length), await fullPass(length)];
  const columns = [cached, full].map((ms) => ms.toFixed(1).padStart(10)).join('  ');
  console.log(`${String(length).padStart(16)}   ${columns}`);
}
model.dispose();
