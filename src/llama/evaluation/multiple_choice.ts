import type * as tfl from '@tensorflow/tfjs-layers';
import {checkChoice, checkKnown, checkNumber} from '../../common/options';
import {largestIndex} from '../generation/token_probabilities';
import type {DataSource} from '../text/data_file';
import type {Tokenizer} from '../text/tokenizer';
import {encodeContinuation} from './encode_continuation';
import {DEFAULT_BATCH_SIZE, logLikelihoodsOf} from './log_likelihood';
import {mmluFields} from './mmlu_csv';
import {readQuestions, readShots} from './read_questions';
import {CHOICE_TASKS, readQuestion, type ChoiceTask, type Question} from './tasks';

/** Options of `multipleChoice`. */
export interface MultipleChoiceOptions {
  /** The task that the file's lines belong to. */
  task: ChoiceTask;
  /** Solved examples before each question; default 0. MMLU is usually asked with 5. */
  shots?: number;
  /** The file whose first examples they are; needed if `shots` is above 0. */
  shotsFrom?: DataSource;
  /** The most questions to ask; default all. */
  limit?: number;
  /** Questions that are asked together, and the most rows that go through the model at a time; default 8. */
  batchSize?: number;
  /** Called after each question, and waited for. */
  onProgress?: (done: number, total: number) => unknown;
}

/** How often a model finds the right answer. */
export interface MultipleChoiceScore {
  task: ChoiceTask;
  /** Questions that were asked. */
  questions: number;
  /** The part of them, 0 to 1, whose right answer is the most probable one. */
  accuracy: number;
  /** The same by log-likelihood per character (code point) of the answer, which does not favour short ones. */
  normalizedAccuracy: number;
  /** Standard error of `normalizedAccuracy`. */
  standardError: number;
  /** The answer chosen for each question, counted from 0, by log-likelihood per character. */
  answers: number[];
}

const OWNER = 'multipleChoice';
const KNOWN = ['task', 'shots', 'shotsFrom', 'limit', 'batchSize', 'onProgress'];

/**
 * Asks the questions of a task's file; the most probable answer counts as the model's. Prompts are
 * those of lm-evaluation-harness, and the scores are its `acc` and `acc_norm`.
 *
 * Lines are those of the tasks' own `jsonl` files, or of the `datasets` library's exports: BoolQ
 * `{passage, question, answer}`, PIQA `{goal, sol1, sol2, label}`, SIQA `{context, question, answerA, …,
 * label}`, HellaSwag `{activity_label, ctx_a, ctx_b, endings, label}`, WinoGrande `{sentence, option1,
 * option2, answer}`, ARC and OpenBookQA `{question: {stem, choices}, answerKey}`, MMLU `{question, choices,
 * answer, subject}`. MMLU's original files, whose names end in `.csv`, can be read, too: rows of question,
 * A, B, C, D and the right letter, without a header. The subject comes from a name such as
 * `abstract_algebra_test.csv`, so that the source must have a name, as a path, a URL and a `File` have.
 *
 * @throws if an option is not valid, if a line is not a question of the task (with the line's number), or if the model's logits
 *   for an answer are not finite.
 */
export async function multipleChoice(
  model: tfl.LayersModel,
  tokenizer: Tokenizer,
  source: DataSource,
  options: MultipleChoiceOptions,
): Promise<MultipleChoiceScore> {
  checkKnown(OWNER, options, KNOWN);
  const {task, onProgress, batchSize = DEFAULT_BATCH_SIZE} = options;
  checkNumber(OWNER, 'batchSize', batchSize, {integer: true, min: 1});
  const {before, questions} = await readTask(source, options);

  const answers: number[] = [];
  let [right, rightNormalized] = [0, 0];
  for (let from = 0; from < questions.length; from += batchSize) {
    const batch = questions.slice(from, from + batchSize);
    const requests = batch.flatMap(({contexts, continuations, description = ''}) =>
      contexts.map((context, i) =>
        encodeContinuation(tokenizer, description + before + context, continuations[i]!),
      ),
    );
    const names = batch.flatMap(({contexts}, i) =>
      contexts.map((_, j) => `${OWNER}: answer ${j + 1} of question ${from + i + 1}`),
    );
    const found = await logLikelihoodsOf(model, requests, batchSize, (index) => names[index]!);
    for (const {continuations, answer} of batch) {
      const sums = found.splice(0, continuations.length).map(({logLikelihood}) => logLikelihood);
      // code points without the space before the answer, as in the harness
      const normalized = sums.map(
        (sum, i) => sum / Math.max(1, Array.from(continuations[i]!).length - 1),
      );
      answers.push(largestIndex(normalized));
      if (largestIndex(sums) === answer) right++;
      if (answers.at(-1) === answer) rightNormalized++;
      await onProgress?.(answers.length, questions.length);
    }
  }
  const count = questions.length;
  const normalizedAccuracy = rightNormalized / count;
  return {
    task,
    questions: count,
    accuracy: right / count,
    normalizedAccuracy,
    standardError: standardError(normalizedAccuracy, count),
    answers,
  };
}

/** The questions of a file, and the solved examples that come before each; throws as {@link multipleChoice}. */
export async function readTask(
  source: DataSource,
  {task, shots = 0, shotsFrom, limit = Infinity}: MultipleChoiceOptions,
): Promise<{before: string; questions: Question[]}> {
  checkChoice(OWNER, 'task', task, CHOICE_TASKS);
  checkNumber(OWNER, 'shots', shots, {integer: true, min: 0});
  if (limit !== Infinity) checkNumber(OWNER, 'limit', limit, {integer: true, min: 1});
  const read = (fields: Record<string, unknown>): Question => readQuestion(task, fields);
  const rowFields = task === 'mmlu' ? mmluFields : undefined;
  const examples = await readShots(OWNER, shotsFrom, shots, read, rowFields);
  const before = examples.map((example) => `${solved(example)}\n\n`).join('');
  return {before, questions: await readQuestions(OWNER, source, limit, read, rowFields)};
}

/** The standard error of the accuracy over `count` answers. */
export function standardError(accuracy: number, count: number): number {
  return count < 2 ? 0 : Math.sqrt((accuracy * (1 - accuracy)) / (count - 1));
}

/** A question with its right answer. */
function solved({contexts, continuations, answer}: Question): string {
  return contexts[answer]! + continuations[answer]!;
}
