/** The demo's model learns Moby-Dick, on a machine with nothing else. */
import {fileURLToPath} from 'node:url';
import {finetuningTexts} from '../../../tools/texts';
import {neutralTexts} from './neutral_texts';
import type {Setting} from './setting';

/** Characters of each held-out chapter, so that they make some 60 rows. */
const PART = 1000;

export const demo: Setting = {
  name: 'demo',
  title: 'The demo’s model (1.7 million parameters) on Moby-Dick',
  about: {
    training: 'chapters of Moby-Dick in rows of 128 tokens',
    heldOut: `the first ${PART} characters of each tenth chapter; for the choice of rates, of the chapters before them, which are left out of training as well`,
    neutral:
      'State of the Union addresses that the model has not seen, the first thousand characters',
  },
  model: fileURLToPath(new URL('../../../demo/model', import.meta.url)),
  data: null,
  backend: 'wasm',
  async read() {
    const {train, heldOut} = finetuningTexts();
    const isValidation = (i: number): boolean => i % 9 === 8;
    const whole = (texts: readonly string[]): object[] => texts.map((text) => ({text}));
    const parts = (texts: readonly string[]): object[] =>
      whole(texts.map((text) => text.slice(0, PART)));
    return {
      train: whole(train.filter((_, i) => !isValidation(i))),
      validation: parts(train.filter((_, i) => isValidation(i))),
      test: parts(heldOut),
      neutral: neutralTexts(11),
    };
  },
  training: {
    ...{steps: 250, batchSize: 4, maxLength: 128, packing: true, interval: 25},
    ...{schedule: 'linear', warmup: 5, weightDecay: 0, embedding: 'full'},
    ...{evaluateEvery: 50, saveEvery: 50},
  },
  methodOptions: {
    owlore: {rank: 32, refreshInterval: 50, gamma: 4},
    galore: {rank: 32, refreshInterval: 50},
    lora: {rank: 8, loraAlpha: 8},
  },
  curveExamples: 4,
  neutral: {maxLength: 128, packing: true},
  tau: 5,
  calibration: {batches: 8, batchSize: 4},
  scores: ['outlier', 'relativeMagnitude', 'blockInfluence'],
  rates: {
    full: [5e-4, 1e-3],
    lora: [5e-3, 1e-2],
    lisa: [5e-4, 1e-3],
    galore: [1e-3, 2e-3],
    'owlore-full': [5e-4, 1e-3],
    owlore: [1e-3, 2e-3],
    'owlore-frozen': [1e-3, 2e-3],
    badam: [5e-4, 1e-3],
  },
  gammas: [1, 2, 4, 6],
  taus: [3, 4, 7, 9, 13],
  seeds: {rates: 0, tables: [1, 2, 3], fresh: [4, 5, 6, 7, 8]},
};

/** The same in less than ten minutes: few steps, one rate for each method, two seeds. */
export const quickDemo: Setting = {
  ...demo,
  name: 'demo-quick',
  title: `${demo.title}, quick mode`,
  training: {...demo.training, steps: 20, interval: 2, evaluateEvery: 10, saveEvery: 10},
  rates: Object.fromEntries(
    Object.entries(demo.rates).map(([method, [, rate]]) => [method, [rate!]]),
  ),
  isSearched: false,
  stages: ['main'],
  seeds: {rates: 0, tables: [1, 2]},
};
