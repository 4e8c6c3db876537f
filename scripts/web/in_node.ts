/** What downloaded models say in Node, beside what they said in the page. */
import {execFile} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {
  generate,
  loadLlama,
  loadTokenizer,
  perplexity,
  saveLlama,
  textDataset,
  type LoadedLlama,
} from '../../src/llama/index';
import {isHeldOut} from '../../src/training_defaults';
import {loadBackend} from '../../tools/load_backend';
import {quick} from './tab';
import type {WorkerEvents} from './worker_events';

const demoModel = fileURLToPath(new URL('../../demo/model/', import.meta.url));
const novel = new URL('../../demo/web/dist/texts/moby-dick.txt', import.meta.url);

/** What the chat is asked, here and in the page. */
export const QUESTION = 'The captain';

/** Writes the demo's model in numbers of 32 bits, so that no loss is rounded away in the files. */
export async function saveWhole(folder: string): Promise<void> {
  await loadBackend('wasm');
  await tf.setBackend('wasm');
  const {model} = await loadLlama(demoModel);
  await saveLlama(model, folder, {dtype: 'F32'});
  model.dispose();
}

/** A run by {@link quick} of a model in files, and what was downloaded of it. */
export interface Downloaded {
  /** The folder of the model that was trained. */
  original: string;
  zip: string;
  gguf: string;
  losses: ReturnType<WorkerEvents['losses']>;
  /** To {@link QUESTION}, before and after. */
  answers: readonly (string | null)[];
}

/** The files load, and their models have the losses and the answers that the page had. Others are written into `folder`. */
export async function expectSameInNode(
  {original, zip, gguf, losses, answers}: Downloaded,
  folder: string,
): Promise<void> {
  const saved = await unpack(zip, folder);
  expect(readdirSync(saved)).to.include.members(['README.md', 'config.json', 'model.safetensors', 'tokenizer.json']); // prettier-ignore
  const [before, after, ofGguf] = await Promise.all(
    [original, saved, gguf].map((path) => loadLlama(path)),
  );
  const {heldOut} = losses;
  expect(await heldOutLoss(before!, saved)).to.be.closeTo(heldOut[0]!, 1e-6);
  expect(await heldOutLoss(after!, saved)).to.be.closeTo(heldOut[quick.steps as number]!, 1e-6);
  // the models go on with the question, which stands before what they wrote, until they may write no more
  const written = [await answer(before!, saved), await answer(after!, saved)];
  expect(written.map((text) => `${QUESTION}${text}…`)).to.eql(answers);
  expect(answers[0]).not.to.equal(answers[1]);
  // its weights are rounded to numbers of 16 bits
  const expected = logits(after!);
  const off = logits(ofGguf!).map((value, i) => Math.abs(value - expected[i]!));
  expect(Math.max(...off)).to.be.below(0.02);
  for (const {model} of [before!, after!, ofGguf!]) model.dispose();
}

/** Unpacks a model that was downloaded, and returns its folder. */
export async function unpack(zip: string, folder: string): Promise<string> {
  await promisify(execFile)('python3', ['-m', 'zipfile', '-e', zip, folder]);
  return join(folder, 'owlore-model');
}

/** The loss on the examples that the page holds out by some settings, here. */
export async function heldOutLoss(
  {model, config}: LoadedLlama,
  folder: string,
  settings = quick,
): Promise<number> {
  const tokenizer = await loadTokenizer(folder);
  const {maxLength, batchSize, validationSplit} = settings as Record<string, number>;
  const batches = textDataset(new File([readFileSync(novel)], 'moby-dick.txt'), tokenizer, {
    ...{config, maxLength: maxLength!, batchSize: batchSize!, shuffle: false},
    select: (i) => isHeldOut({validationSplit: validationSplit!}, i),
  });
  return (await perplexity(model, batches)).loss;
}

/** What the page asks a model in its chat, here: as many tokens, of the same draws. */
async function answer({model}: LoadedLlama, folder: string): Promise<string> {
  const tokenizer = await loadTokenizer(folder);
  const ids = tokenizer.encode(QUESTION);
  const all = await generate(model, ids, {maxNewTokens: 80, temperature: 0.7, seed: 1});
  return tokenizer.decode(all.ids);
}

function logits({model}: LoadedLlama): Float32Array {
  return tf.tidy(() => {
    const ids = tf.tensor([[1, 2, 3, 5, 8, 13, 21, 34]], [1, 8], 'int32');
    return (model.predict(ids) as tf.Tensor).dataSync() as Float32Array;
  });
}
