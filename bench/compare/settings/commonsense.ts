/** SmolLM2-135M-Instruct learns the paper's commonsense tasks, and is asked questions of their test sets. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {alpacaPrompt} from '../../../src/llama/text/formats';
import type {ChoiceQuestion} from '../tasks';
import {neutralTexts} from './neutral_texts';
import type {Setting} from './setting';
import {smollm2} from './smollm2';

/** A line of the files: `instruction` ends with the names of the answers, `Answer format: true/false`. */
interface Example {
  instruction: string;
  output: string;
  answer: string;
}

const TRAINED = ['boolq', 'openbookqa', 'ARC-Easy', 'ARC-Challenge'];
const ASKED = [...TRAINED, 'piqa', 'social_i_qa', 'winogrande'];
const TRAIN = 1000;
const VALIDATION = 16;
const QUESTIONS = 100;

export const commonsense: Setting = {
  ...smollm2,
  name: 'smollm2-commonsense',
  title: 'SmolLM2-135M-Instruct on commonsense tasks',
  about: {
    training: `${TRAIN} examples each of the training splits of BoolQ, OpenBookQA, ARC-Easy and ARC-Challenge; loss on the answers alone; the rates are those chosen on GSM8K`,
    heldOut: `the answers to ${QUESTIONS} questions of each of seven test sets`,
    neutral: smollm2.about.neutral,
  },
  data: 'the folder of the commonsense tasks, with boolq/train.json, boolq/test.json and so on',
  read: ({data}) => {
    const examples = (task: string, split: string, from: number, count: number): Example[] =>
      (JSON.parse(readFileSync(join(data, task, `${split}.json`), 'utf8')) as Example[]).slice(
        ...[from, from + count],
      );
    const records = (
      tasks: readonly string[],
      split: string,
      from: number,
      count: number,
    ): object[] =>
      tasks.flatMap((task) =>
        examples(task, split, from, count).map(({instruction, output}) => ({instruction, output})),
      );
    return Promise.resolve({
      train: records(TRAINED, 'train', 0, TRAIN),
      validation: records(TRAINED, 'train', TRAIN, VALIDATION),
      test: records(ASKED, 'test', 0, QUESTIONS),
      neutral: neutralTexts(64),
      questions: ASKED.flatMap((task) =>
        examples(task, 'test', 0, QUESTIONS).map((example) => choiceOf(task, example)),
      ),
    });
  },
  training: {...smollm2.training, maxLength: 384},
  curveExamples: TRAINED.length * VALIDATION,
  ratesOf: smollm2.name,
  stages: ['main'],
  methods: smollm2.asked!,
  seeds: {rates: 0, tables: [1]},
};

/** The question with its answers in the words that the model was trained on. */
function choiceOf(task: string, {instruction, output, answer}: Example): ChoiceQuestion {
  const names = /Answer format: ([\w/]+)/.exec(instruction)![1]!.split('/');
  return {
    task,
    prompt: alpacaPrompt(instruction),
    answers: names.map((name) => output.replace(answer, name)),
    right: names.indexOf(answer),
  };
}
