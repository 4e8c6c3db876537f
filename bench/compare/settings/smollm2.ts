/** SmolLM2-135M-Instruct learns the answers of GSM8K. */
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {loadTokenizer, type ChatMessage} from '../../../src/llama';
import {numberIn} from '../../../src/llama/evaluation/gsm8k';
import {neutralTexts} from './neutral_texts';
import type {Setting} from './setting';

interface Chat {
  messages: ChatMessage[];
}

const MAX_LENGTH = 192;
const VALIDATION = 128;
const TEST = 128;
const QUESTIONS = 50;

export const smollm2: Setting = {
  name: 'smollm2',
  title: 'SmolLM2-135M-Instruct on GSM8K',
  about: {
    training: `training problems of GSM8K that take at most ${MAX_LENGTH} tokens with the model's chat template; loss on the answers alone; products of matrices rounded to bfloat16, as the paper's, on the Xeon with AMX`,
    heldOut: `the answers of the first ${TEST} test problems of that length; for the choice of rates those of ${VALIDATION} training problems that are left out of training`,
    neutral: 'State of the Union addresses, the first 128 tokens of each of 64',
  },
  model: null,
  data: 'the folder of GSM8K, with train.jsonl and test.jsonl',
  backend: 'tensorflow',
  async read({model, data}) {
    const tokenizer = await loadTokenizer(model);
    const problems = (file: string, max = Infinity): Chat[] => {
      const chats: Chat[] = [];
      for (const line of readFileSync(join(data, file), 'utf8').split('\n')) {
        if (chats.length >= max) break;
        if (line.trim() === '') continue;
        const {question, answer} = JSON.parse(line) as {question: string; answer: string};
        const messages = [
          {role: 'user', content: question},
          {role: 'assistant', content: answer},
        ];
        if (tokenizer.applyChatTemplate(messages).length <= MAX_LENGTH) chats.push({messages});
      }
      return chats;
    };
    const train = problems('train.jsonl');
    const test = problems('test.jsonl', TEST);
    return {
      validation: train.slice(0, VALIDATION),
      train: train.slice(VALIDATION),
      test,
      neutral: neutralTexts(64),
      questions: test.slice(0, QUESTIONS).map(({messages: [question, answer]}) => ({
        task: 'GSM8K',
        prompt: tokenizer.applyChatTemplate([question!], {
          ...{addGenerationPrompt: true, tokenize: false},
        }),
        number: numberIn(answer!.content)!,
      })),
    };
  },
  training: {
    ...{steps: 48, batchSize: 4, maxLength: MAX_LENGTH, interval: 6},
    ...{schedule: 'linear', warmup: 5, weightDecay: 0, embedding: 'full', frozenDtype: 'F32'},
    // as the paper, which trains in bfloat16; what is measured afterwards is measured in float32
    matmulPrecision: 'medium',
    ...{evaluateEvery: 12, saveEvery: 12},
  },
  methodOptions: {
    owlore: {rank: 128, refreshInterval: 40},
    galore: {rank: 128, refreshInterval: 40},
    lora: {rank: 8, loraAlpha: 8},
  },
  curveExamples: 16,
  neutral: {maxLength: 128, packing: false},
  tau: 13,
  calibration: {batches: 8, batchSize: 4},
  scores: ['outlier', 'relativeMagnitude', 'blockInfluence'],
  rates: {
    full: [2e-5, 5e-5, 1e-4],
    lisa: [1e-4, 2e-4, 5e-4],
    galore: [1e-4, 2e-4, 5e-4],
    'owlore-full': [2e-4, 5e-4],
    owlore: [2e-4, 5e-4],
    'owlore-frozen': [1e-3, 2e-3],
    badam: [2e-4, 5e-4],
    lora: [5e-4, 1e-3, 2e-3],
  },
  gammas: [1, 2, 4, 8, 12],
  taus: [3, 7, 10, 16, 19],
  asked: ['full', 'lora', 'lisa', 'galore', 'owlore-full', 'owlore'],
  seeds: {rates: 0, tables: [1, 2, 3], fresh: [4, 5, 6, 7, 8]},
};
