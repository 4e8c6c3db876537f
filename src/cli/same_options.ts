/** Whether a run that goes on has the options that it began with. */
import {join} from 'node:path';
import {checkSettings, type Candidate} from '../checkpoint/check_fits';
import {createLlama} from '../llama/index';
import type {ResolvedConfig} from '../llama/config';
import {paperMethods, type MethodParts} from '../methods';
import {resolveBlocks} from '../model/blocks';
import {ACCUMULATED} from '../optim/saved_names';
import {chooseSampling} from './block_sampling';
import type {Context} from './command';
import type {FinetuneSettings} from './finetune_options';
import {FittedDefaults} from './fitted_defaults';
import {NAMES} from './run_files';
import {methodOf} from './run_method';
import type {TrainingData} from './training_data';
import {asUsage, UsageError} from './usage_error';
import {counted} from './words';

/** As small as it can be: its layers have the names of the model's, and none of its weights is looked at. */
const SMALLEST = {
  ...{vocabSize: 2, hiddenSize: 2, intermediateSize: 2},
  ...{numAttentionHeads: 1, numKeyValueHeads: 1, headDim: 2, queryPreAttnScalar: 2, seed: 0},
} as const;

/**
 * Compares the options of a run that goes on with those in its checkpoint, before the model's weights are read: by what would train a model of
 * the same layers.
 *
 * @param settings With the file of the scores that the run has computed.
 * @throws UsageError that names what differs, also if the run has made more steps than it is to make.
 */
export async function checkSameOptions(
  candidate: Candidate,
  settings: FinetuneSettings,
  config: ResolvedConfig,
  data: TrainingData,
  context: Context,
): Promise<void> {
  const {model: layers, optimizer: saved, step} = candidate.manifest;
  // which may be known by the weights alone
  const tieWordEmbeddings = !layers.some(({layer}) => layer === 'lm_head');
  const model = createLlama({...config, ...SMALLEST, tieWordEmbeddings});
  const {lora = false}: MethodParts = paperMethods[settings.method];
  try {
    const blocks = resolveBlocks(model).map(({name}) => name);
    const training = data.training({repeat: true});
    const sampling = await chooseSampling(
      settings,
      {model, blocks, dataset: training},
      {blocks: blocks.length, steps: data.steps},
      new FittedDefaults(context.given),
      context,
    );
    // no larger one fits, and its optimizer has none
    const own = {...settings, ...(lora && {rank: 1})};
    const {optimizer, callback, ...made} = methodOf({settings: own, data, sampling}, model);
    try {
      checkSameRate(settings, saved.settings['learningRate'], optimizer.settings['learningRate']);
      const parts = {optimizer, ...(callback && {callback}), data: training};
      asUsage(() => checkSettings('finetune', candidate, parts, saved.settings));
    } finally {
      made.lora?.remove();
      optimizer.dispose();
    }
  } finally {
    model.dispose();
  }
  const isBegun = Number(saved.counters[ACCUMULATED] ?? 0) > 0;
  if (step + (isBegun ? 1 : 0) <= data.steps) return;
  throw new UsageError(
    `${settings.resume}: the run has made ${counted(step, 'step')}, and its options say ${data.steps} in all; give it more in its config.json`,
  );
}

function checkSameRate({resume}: FinetuneSettings, saved: unknown, own: unknown): void {
  const [was, is] = [saved, own].map((rate) => JSON.stringify(rate));
  if (was === is) return;
  throw new UsageError(
    `${resume}: the learning rate of the run was ${was}, and is ${is} by its config.json; learningRate, schedule, warmup, steps ` +
      'and epochs must be there as they were. To train for longer, let the run come to its end, and train its model further ' +
      `by another run: finetune --model ${join(resume!, NAMES.model)}`,
  );
}
