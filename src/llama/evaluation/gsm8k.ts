import type * as tfl from '@tensorflow/tfjs-layers';
import {checkFlag, checkKnown, checkNumber, definedIn} from '../../common/options';
import {generate as generateWithCache} from '../generation/generate';
import type {ModelLimits} from '../generation/generate_options';
import type {DataSource} from '../text/data_file';
import {encodePrompt} from '../text/example_prompt';
import type {Tokenizer} from '../text/tokenizer';
import {modelLimits} from './model_limits';
import {standardError} from './multiple_choice';
import {readQuestions, readShots} from './read_questions';

/** Options of `gsm8k`. */
export interface Gsm8kOptions {
  /** Solved examples before each question; default 0. The usual number is 5. */
  shots?: number;
  /** The file whose first examples they are; needed if `shots` is above 0. */
  shotsFrom?: DataSource;
  /** The most questions to ask; default all. */
  limit?: number;
  /** The most tokens of an answer; default 256. */
  maxNewTokens?: number;
  /**
   * Whether a question is a message in the tokenizer's chat template, and each example before it a message with its answer; default
   * false. As lm-evaluation-harness has it with `--apply_chat_template --fewshot_as_multiturn`.
   */
  chat?: boolean;
  /** Called after each question, and waited for. */
  onProgress?: (done: number, total: number) => unknown;
  /** Continues token ids greedily; default `generate`. */
  generate?: typeof generateWithCache;
}

/** How often a model's answer is the right number. */
export interface Gsm8kScore {
  /** Questions that were asked. */
  questions: number;
  /** The part of them, 0 to 1, whose answer has the right number after `####`. */
  exactMatch: number;
  /** Standard error of `exactMatch`. */
  standardError: number;
  /** The numbers found, null where an answer has none. */
  answers: Array<string | null>;
}

/** The defaults of the options that are numbers. */
export const gsm8kDefaults = {shots: 0, limit: Infinity, maxNewTokens: 256, chat: false} as const;

const OWNER = 'gsm8k';
const KNOWN = ['shots', 'shotsFrom', 'limit', 'maxNewTokens', 'chat', 'onProgress', 'generate'];
/** Texts that end an answer: a question of the model's own, and ends of texts and messages. */
const ENDS = ['Question:', '</s>', '<|im_end|>'];

/**
 * Asks the questions of GSM8K (one `{question, answer}` per line). The model writes a solution, greedily, and
 * the number after `####` is compared with the right one. Prompt, stop texts and comparison are those of
 * lm-evaluation-harness (`gsm8k`, version 3.0 of the task, strict match).
 *
 * @throws before any question is asked, if an option is not valid, if there is no chat template for `chat`, or, with the line's number, if a line is not a question or its
 *   prompt and answer would be longer than the model's positions; later, as `generate` does.
 */
export async function gsm8k(
  model: tfl.LayersModel,
  tokenizer: Tokenizer,
  source: DataSource,
  options: Gsm8kOptions = {},
): Promise<Gsm8kScore> {
  checkKnown(OWNER, options, KNOWN);
  const {maxNewTokens} = {...gsm8kDefaults, ...definedIn(options)};
  const {onProgress, generate = generateWithCache} = options;
  const problems = await readProblems(modelLimits(OWNER, model), tokenizer, source, options);

  const answers: Array<string | null> = [];
  let right = 0;
  for (const {ids, number} of problems) {
    const written = await generate(model, ids, {
      maxNewTokens,
      stop: tokenizer.eosTokenId === null ? [] : [tokenizer.eosTokenId],
      // also where one of them is a special token
      onToken: (_, all) => !hasEnded(tokenizer.decode(all)),
    });
    const text = tokenizer.decode(written.ids, {skipSpecialTokens: true});
    const answer = numberIn(untilEnd(text));
    answers.push(answer);
    if (answer === number) right++;
    await onProgress?.(answers.length, problems.length);
  }
  const exactMatch = right / problems.length;
  return {
    questions: problems.length,
    exactMatch,
    standardError: standardError(exactMatch, problems.length),
    answers,
  };
}

/** The tokens of each question of a file, with the examples before it, and the right number; throws as {@link gsm8k}. */
export async function readProblems(
  {maxPositionEmbeddings}: Pick<ModelLimits, 'maxPositionEmbeddings'>,
  tokenizer: Tokenizer,
  source: DataSource,
  options: Gsm8kOptions,
): Promise<Array<{ids: number[]; number: string}>> {
  const {shots, limit, maxNewTokens, chat} = {...gsm8kDefaults, ...definedIn(options)};
  checkFlag(OWNER, 'chat', chat);
  checkNumber(OWNER, 'shots', shots, {integer: true, min: 0});
  checkNumber(OWNER, 'maxNewTokens', maxNewTokens, {integer: true, min: 1});
  if (limit !== Infinity) checkNumber(OWNER, 'limit', limit, {integer: true, min: 1});
  const examples = await readShots(OWNER, options.shotsFrom, shots, readProblem);
  const before = examples.map(({prompt, solution}) => `${prompt} ${solution}\n\n`).join('');
  const earlier = examples.flatMap(({prompt, solution}) => [
    {role: 'user', content: prompt},
    {role: 'assistant', content: solution},
  ]);
  const encode = (prompt: string): number[] =>
    chat
      ? tokenizer.applyChatTemplate([...earlier, {role: 'user', content: prompt}], {
          addGenerationPrompt: true,
        })
      : encodePrompt(tokenizer, before + prompt);
  return readQuestions(OWNER, source, limit, (fields) => {
    const {prompt, number} = readProblem(fields);
    const ids = encode(prompt);
    if (ids.length + maxNewTokens > maxPositionEmbeddings) {
      throw new Error(
        `the question has ${ids.length} tokens with its examples; with maxNewTokens ${maxNewTokens} that is more ` +
          `than the model's maxPositionEmbeddings (${maxPositionEmbeddings})`,
      );
    }
    return {ids, number};
  });
}

interface Problem {
  prompt: string;
  solution: string;
  number: string;
}

function readProblem({question, answer}: Record<string, unknown>): Problem {
  if (typeof question !== 'string' || typeof answer !== 'string') {
    throw new Error("'question' and 'answer' must be texts");
  }
  const number = numberIn(answer);
  if (number === null) throw new Error("'answer' has no number behind ####");
  return {prompt: `Question: ${question}\nAnswer:`, solution: answer, number};
}

/** The first number after `####`, without commas and a dot at its end; null if there is none. */
export function numberIn(text: string): string | null {
  const number = /#### (-?[0-9.,]+)/.exec(text)?.[1];
  return number === undefined ? null : number.replaceAll(',', '').replace(/\.$/, '');
}

function hasEnded(text: string): boolean {
  return ENDS.some((end) => text.includes(end));
}

/** A text up to the first of {@link ENDS}. */
function untilEnd(text: string): string {
  const ends = ENDS.map((end) => text.indexOf(end)).filter((at) => at >= 0);
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends));
}
