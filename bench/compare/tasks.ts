/** Questions that a trained model is asked: which of several answers is the most probable, or which number it comes to. */
import type * as tfl from '@tensorflow/tfjs-layers';
import {generateBatch, logLikelihoods, type Tokenizer} from '../../src/llama';
import {encodeContinuation} from '../../src/llama/evaluation/encode_continuation';
import {numberIn} from '../../src/llama/evaluation/gsm8k';

/** A question whose answer is the most probable of several, by the mean of the log-probabilities of its tokens. */
export interface ChoiceQuestion {
  task: string;
  prompt: string;
  answers: string[];
  /** Index of the right one. */
  right: number;
}

/** A question whose answer is the number after `####` in what the model writes. */
export interface NumberQuestion {
  task: string;
  prompt: string;
  number: string;
}

export type Question = ChoiceQuestion | NumberQuestion;

/** By task: how many questions were asked, and the part that was answered rightly. */
export type TaskScores = Record<string, {questions: number; accuracy: number}>;

const MAX_NEW_TOKENS = 256;
const BATCH_SIZE = 8;

/** Asks all questions. */
export async function askQuestions(
  model: tfl.LayersModel,
  tokenizer: Tokenizer,
  questions: readonly Question[],
): Promise<TaskScores> {
  const scores: TaskScores = {};
  for (const task of new Set(questions.map((question) => question.task))) {
    const asked = questions.filter((question) => question.task === task);
    const choices = asked.filter((question) => 'answers' in question);
    const numbers = asked.filter((question) => 'number' in question);
    const right =
      (await countRightChoices(model, tokenizer, choices)) +
      (await countRightNumbers(model, tokenizer, numbers));
    scores[task] = {questions: asked.length, accuracy: right / asked.length};
  }
  return scores;
}

async function countRightChoices(
  model: tfl.LayersModel,
  tokenizer: Tokenizer,
  questions: readonly ChoiceQuestion[],
): Promise<number> {
  let count = 0;
  for (const {prompt, answers, right} of questions) {
    const requests = answers.map((answer) => encodeContinuation(tokenizer, prompt, answer));
    const found = await logLikelihoods(model, requests, {batchSize: BATCH_SIZE});
    const normalized = found.map(
      ({logLikelihood}, i) => logLikelihood / requests[i]!.continuation.length,
    );
    if (normalized.indexOf(Math.max(...normalized)) === right) count++;
  }
  return count;
}

async function countRightNumbers(
  model: tfl.LayersModel,
  tokenizer: Tokenizer,
  questions: readonly NumberQuestion[],
): Promise<number> {
  if (questions.length === 0) return 0;
  const prompts = questions.map(({prompt}) => tokenizer.encode(prompt, {addSpecialTokens: false}));
  const written = await generateBatch(model, prompts, {
    ...{maxNewTokens: MAX_NEW_TOKENS, batchSize: BATCH_SIZE},
    ...(tokenizer.eosTokenId !== null && {stop: tokenizer.eosTokenId}),
  });
  const found = written.map(({ids}) => numberIn(tokenizer.decode(ids, {skipSpecialTokens: true})));
  return questions.filter(({number}, i) => found[i] === number).length;
}
