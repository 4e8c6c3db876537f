/** What is measured of a model after its training: its losses, and how far it is from the model that it was. */
import {readFileSync} from 'node:fs';
import {
  getLlamaWeights,
  loadLlama,
  loadTokenizer,
  perplexity,
  textDataset,
  type Tokenizer,
} from '../../src/llama';
import {selectBackend} from '../../src/cli/backend';
import {loadBackend} from '../../tools/load_backend';
import type {Setting} from './settings';
import {askQuestions, type Question, type TaskScores} from './tasks';

interface Texts {
  file: string;
  maxLength: number;
  packing: boolean;
}

export interface MeasureOptions {
  backend: Setting['backend'];
  /** The folder of the model. */
  model: string;
  /** That of the model before training; null if it is the same. */
  before: string | null;
  batchSize: number;
  heldOut: Texts;
  neutral: Texts;
  /** A file of questions; null: none are asked. */
  questions: string | null;
}

export interface TextLoss {
  /** Mean of the counted tokens. */
  loss: number;
  tokens: number;
}

export interface ModelMeasures {
  heldOut: TextLoss;
  neutral: TextLoss;
  /** Of all weights in float32. */
  weightBytes: number;
  changed: {share: number; norm: number} | null;
  tasks: TaskScores | null;
}

export async function measure(options: MeasureOptions): Promise<ModelMeasures> {
  const {backend, model: folder, before, batchSize, questions} = options;
  await selectBackend(backend, (line) => console.error(line), loadBackend);
  const tokenizer = await loadTokenizer(folder);
  const {model, config} = await loadLlama(folder, {headInLoss: true});
  const lossOf = async ({file, maxLength, packing}: Texts): Promise<TextLoss> => {
    const dataset = textDataset(file, tokenizer, {
      ...{maxLength, packing, batchSize, config, shuffle: false, invalid: 'throw'},
    });
    const {loss, tokens} = await perplexity(model, dataset);
    return {loss, tokens};
  };
  const heldOut = await lossOf(options.heldOut);
  const neutral = await lossOf(options.neutral);
  const weights = await getLlamaWeights(model);
  model.dispose();
  const numbers = [...weights.values()].reduce((sum, {values}) => sum + values.length, 0);
  const tasks = questions === null ? null : await tasksOf(folder, tokenizer, questions);
  const measured = {heldOut, neutral, weightBytes: 4 * numbers, tasks};
  if (before === null) return {...measured, changed: null};
  const original = await loadLlama(before);
  const earlier = await getLlamaWeights(original.model);
  original.model.dispose();
  return {...measured, changed: changeBetween(earlier, weights)};
}

async function tasksOf(
  folder: string,
  tokenizer: Tokenizer,
  questions: string,
): Promise<TaskScores> {
  const {model} = await loadLlama(folder);
  try {
    const asked = JSON.parse(readFileSync(questions, 'utf8')) as Question[];
    return await askQuestions(model, tokenizer, asked);
  } finally {
    model.dispose();
  }
}

type Weights = ReadonlyMap<string, {values: Float32Array}>;

/** How many of the numbers are others, and the norm of the difference over that of the weights before. */
export function changeBetween(before: Weights, after: Weights): {share: number; norm: number} {
  let [all, others, squares, original] = [0, 0, 0, 0];
  for (const [name, {values: from}] of before) {
    const to = after.get(name)!.values;
    for (let i = 0; i < from.length; i++) {
      const difference = to[i]! - from[i]!;
      if (difference !== 0) others++;
      squares += difference ** 2;
      original += from[i]! ** 2;
    }
    all += from.length;
  }
  return {share: others / all, norm: Math.sqrt(squares / original)};
}
