/**
 * What a token of `generate` costs: with the key-value cache and without, or of a model of yours beside PyTorch.
 *
 *   npm run bench -- generation                      # after texts of some lengths, on wasm, about a minute
 *   npm run bench -- generation --backend tensorflow
 *   npm run bench -- generation --folder smollm2 --python venv/bin/python
 *
 * The model is a LLaMA in the proportions of SmolLM2-135M, with a third of its blocks and a sixth of its vocabulary. Without the cache a token
 * is a forward pass over the whole text. Medians, as good as the machine was quiet.
 *
 * With a model's folder: how many tokens a second that model writes, 1, 4 and 8 texts at a time, in turns with PyTorch if there is
 * a Python with torch and transformers. On a machine that others use, too, the time that the processors worked says more: the second pair of
 * columns is that of a token of all texts, in milliseconds, of all threads together. Both pairs are medians, the second of the lower half.
 *
 * With `--frozen BF16` its matrices are kept at 16 bits, in this library and not in PyTorch.
 */
import {availableParallelism} from 'node:os';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {selectBackend} from '../../tools/select_backend';
import {createLlama, generate, generateBatch, loadLlama} from '../../src/llama';
import {PytorchGeneration, type TokenStep} from '../contenders/pytorch_generation';
import {median} from '../harness/statistics';

const {values} = parseArgs({
  options: {
    backend: {type: 'string', default: 'wasm'},
    tokens: {type: 'string', default: '12'},
    passes: {type: 'string', default: '3'},
    folder: {type: 'string'},
    frozen: {type: 'string', default: 'F32'},
    python: {type: 'string', default: process.env['PYTHON']},
    rounds: {type: 'string', default: '3'},
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

if (values.folder === undefined) await compareWithFullPass();
else await compareWithPytorch(values.folder);

async function compareWithFullPass(): Promise<void> {
  const model = createLlama(config);
  console.log(`${backend}, ${model.countParams()} parameters, milliseconds a token`);
  console.log('positions before   with cache   full pass');
  for (const length of lengths) {
    const [cached, full] = [
      median(
        (await stepsOf(model, [prompt(length, config.vocabSize)], tokens))
          .slice(1)
          .map(({ms}) => ms),
      ),
      await fullPass(model, length),
    ];
    const columns = [cached, full].map((ms) => ms.toFixed(1).padStart(10)).join('  ');
    console.log(`${String(length).padStart(16)}   ${columns}`);
  }
  model.dispose();
}

/** From one token of all texts to the next, without the passes over the prompts. */
async function stepsOf(
  model: tfl.LayersModel,
  prompts: ReadonlyArray<readonly number[]>,
  newTokens: number,
): Promise<TokenStep[]> {
  const steps: TokenStep[] = [];
  let last = clock();
  const onToken = (_: number, ids: readonly number[], index: number): void => {
    // the first ones come after the prompts, one by one
    if (index < prompts.length - 1) return;
    const now = clock();
    if (ids.length > 1) {
      steps.push({ms: now.ms - last.ms, processorMs: now.processorMs - last.processorMs});
    }
    last = now;
  };
  const options = {maxNewTokens: newTokens + 1, onToken};
  if (prompts.length === 1) await generate(model, prompts[0]!, options);
  else await generateBatch(model, prompts, {...options, batchSize: prompts.length});
  return steps;
}

function clock(): TokenStep {
  const {user, system} = process.cpuUsage();
  return {ms: performance.now(), processorMs: (user + system) / 1000};
}

function prompt(length: number, vocabulary: number, index = 0): number[] {
  return Array.from({length}, (_, i) => (7919 * i + 31 * index) % vocabulary);
}

/** Milliseconds of the forward pass that the next token would take without a cache. */
async function fullPass(model: tfl.LayersModel, length: number): Promise<number> {
  const times: number[] = [];
  for (let pass = 0; pass <= passes; pass++) {
    const start = performance.now();
    const logits = tf.tidy(() => {
      const ids = tf.tensor2d([prompt(length, config.vocabSize)], undefined, 'int32');
      const all = model.predict(ids) as tf.Tensor3D;
      return tf.slice(all, [0, length - 1, 0], [1, 1, config.vocabSize]);
    });
    await logits.data();
    logits.dispose();
    if (pass > 0) times.push(performance.now() - start);
  }
  return median(times);
}

/** After prompts of 32 tokens. */
async function compareWithPytorch(folder: string): Promise<void> {
  const threads = availableParallelism();
  const {model, config} = await loadLlama(folder, {
    frozenDtype: values.frozen as 'F32' | 'BF16' | 'auto',
  });
  const pytorch = values.python && (await PytorchGeneration.start(values.python, folder, threads));
  if (pytorch && 'needs' in pytorch) console.log(`PyTorch is left out; it takes ${pytorch.needs}`);
  const other = pytorch && !('needs' in pytorch) ? pytorch : null;
  const versions = other ? `; PyTorch: ${JSON.stringify(other.versions)}, ${threads} threads` : '';
  console.log(
    `${backend}, ${model.countParams()} parameters, ${values.frozen}, tokens a second${versions}`,
  );
  const names = [backend, ...(other ? ['PyTorch'] : [])]
    .map((name) => name.padStart(10))
    .join('  ');
  console.log(`texts at a time   ${names}  ${names}`);
  for (const batch of [1, 4, 8]) {
    const prompts = Array.from({length: batch}, (_, i) => prompt(32, config.vocabSize, i));
    const [ours, theirs]: [TokenStep[], TokenStep[]] = [[], []];
    await stepsOf(model, prompts, 3); // what is compiled or recorded in the first steps
    for (let round = 0; round < Number(values.rounds); round++) {
      ours.push(...(await stepsOf(model, prompts, tokens)));
      if (other) theirs.push(...(await other.stepsOf(prompts, tokens + 1)));
    }
    const both = [ours, theirs].filter((steps) => steps.length > 0);
    const columns = [
      ...both.map((steps) => (1000 * batch) / median(steps.map(({ms}) => ms))),
      ...both.map((steps) => median(lowerHalf(steps.map(({processorMs}) => processorMs)))),
    ].map((value) => value.toFixed(1).padStart(10));
    console.log(`${String(batch).padStart(15)}   ${columns.join('  ')}`);
  }
  other?.end();
  model.dispose();
}

function lowerHalf(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b).slice(0, Math.ceil(values.length / 2));
}
