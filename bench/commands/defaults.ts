/**
 * The optimizer's defaults on ordinary small models: their losses, or with --times their steps, beside those of Adam.
 *
 *   npm run bench -- defaults                       # the tensorflow backend if it is there, else wasm
 *   npm run bench -- defaults --only digits         # models with that in their titles
 *   npm run bench -- defaults --seeds 1,2,3 --rank 90
 *   npm run bench -- defaults --times               # instead: time and peak memory of a step, on cpu, wasm and tensorflow
 *   npm run bench -- defaults --times --backend wasm --only LSTM
 *
 * Beside them are other sides of the projection and the other scale; Adam is `tf.train.adam` at the same rate. A seed determines a model's
 * first weights, its data and the batches: those of all optimizers are the same. Exits with 1 if the defaults miss the margin.
 *
 * With `--times` both optimizers take turns with each model, some steps each, and a few models more are measured. Each backend has a
 * process of its own. Exits with 1 if a step takes more than 1.10 of Adam's time, or more memory.
 *
 * With `--write` the figures go to `bench/results/defaults.json`, or `step_times.json`.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {OwLoreOptimizer} from '../../src/index';
import {Projections, stateSize} from '../../src/owlore/optimizer/state/projector';
import {owloreDefaults} from '../../src/owlore/optimizer/options';
import {
  ordinaryModels,
  smallModels,
  Task,
  type OrdinaryModel,
  type Trained,
} from '../../tools/ordinary_models';
import {selectBackend} from '../../tools/select_backend';
import {provenance, readRecords, withRecord, writeRecord} from '../results/store';
import {
  defaults,
  defaultsTables,
  learned,
  mean,
  nameOf,
  summary,
  variants,
  type DefaultsMeasurements,
  type Variant,
} from '../tables/defaults_tables';
import {printTables} from '../tables/document';
import {runApart} from '../harness/run_apart';
import {measureStepTimes} from '../harness/step_times';
import {
  reachesGoals,
  stepTimesTables,
  timesLine,
  type StepTimesMeasurements,
} from '../tables/step_times_tables';

const {values: flags} = parseArgs({
  options: {
    backend: {type: 'string'},
    only: {type: 'string', default: ''},
    seeds: {type: 'string', default: '1,2,3'},
    rank: {type: 'string', default: String(owloreDefaults.rank)},
    write: {type: 'boolean', default: false},
    times: {type: 'boolean', default: false},
  },
});
/** With the defaults the held-out loss must fall by at least this part of its fall with Adam, averaged over the seeds. */
const MARGIN = 0.97;
/** Those on which times are measured. */
const timedBackends = ['cpu', 'wasm', 'tensorflow'];

const backend =
  flags.times && flags.backend === undefined ? null : await selectBackend(flags.backend);
const seeds = flags.seeds.split(',').map(Number);
const rank = Number(flags.rank);

if (!flags.times) await measureLearning();
else if (backend) await measureTimes(backend);
else for (const name of timedBackends) runApart(import.meta.url, {...flags, backend: name});

async function measureLearning(): Promise<void> {
  const titles = ordinaryModels.map(({title}) => title);
  let records = readRecords<DefaultsMeasurements>('defaults');
  for (const ordinary of ordinaryModels.filter(({title}) => title.includes(flags.only))) {
    const {title} = ordinary;
    const before = provenance();
    const record = {...before, measured: await measure(ordinary)};
    console.log(summary([title, record.measured]).join('  |  '));
    records = withRecord(records, title, record, titles);
    if (flags.write) await writeRecord('defaults', title, record, titles);
  }
  printTables(defaultsTables(records));
  for (const [title, {measured}] of Object.entries(records)) {
    if (mean(learned(measured)) >= MARGIN) continue;
    console.log(`below the margin of ${MARGIN}: ${title}`);
    process.exitCode = 1;
  }
}

async function measureTimes(name: string): Promise<void> {
  const before = provenance();
  const measured: StepTimesMeasurements = {};
  const models = [...smallModels, ...ordinaryModels];
  for (const ordinary of models.filter(({title}) => title.includes(flags.only))) {
    const times = await measureStepTimes(ordinary);
    measured[ordinary.title] = times;
    console.log(timesLine(ordinary.title, times));
    if (!reachesGoals(times)) process.exitCode = 1;
  }
  const record = {...before, measured};
  printTables(stepTimesTables({[name]: record}));
  if (flags.write) await writeRecord('step_times', name, record, timedBackends);
}

async function measure(ordinary: OrdinaryModel): Promise<DefaultsMeasurements> {
  const model = ordinary.build();
  const {projected, state} = plan(model);
  model.dispose();
  const {learningRate} = ordinary;
  const {beta1, beta2, epsilon} = owloreDefaults;
  // Without projection all of them are the same, and one is enough.
  const measured =
    projected[0] > 0 ? variants : variants.filter((variant) => nameOf(variant) === defaults);
  const adam: Trained[] = [];
  const runs: DefaultsMeasurements['runs'] = Object.fromEntries(
    measured.map((variant) => [nameOf(variant), []]),
  );
  for (const seed of seeds) {
    const task = new Task(ordinary, seed);
    const train = async (optimizer: tf.Optimizer): Promise<Trained> => {
      const trained = await task.train(optimizer);
      optimizer.dispose();
      return trained;
    };
    adam.push(await train(tf.train.adam(learningRate, beta1, beta2, epsilon)));
    for (const variant of measured) {
      runs[nameOf(variant)]!.push(
        await train(new OwLoreOptimizer({learningRate, rank, ...variant})),
      );
    }
    task.dispose();
  }
  return {backend: backend!, tfjs: tf.version_core, seeds, projected, state, adam, runs};
}

/** How many matrices of a model are projected, and the size of the state of all matrices. */
function plan({
  trainableWeights,
}: tfl.LayersModel): Pick<DefaultsMeasurements, 'projected' | 'state'> {
  const matrices = trainableWeights
    .map(({name, shape}) => ({name, shape: shape as number[]}))
    .filter(({shape}) => shape.length > 1);
  const full = matrices.reduce((sum, {shape}) => sum + 2 * tf.util.sizeFromShape(shape), 0);
  const partOf = (side: Variant['side']): number => {
    const projections = new Projections({project: 'auto', rank, side});
    return matrices.reduce((sum, matrix) => sum + numbersOf(matrix, projections), 0) / full;
  };
  const projections = new Projections({project: 'auto', rank, side: owloreDefaults.side});
  const projected = matrices.filter((matrix) => projections.of(matrix)).length;
  return {
    projected: [projected, matrices.length],
    state: {paper: partOf('paper'), left: partOf('left'), auto: partOf('auto')},
  };
}

function numbersOf(matrix: {name: string; shape: number[]}, projections: Projections): number {
  const projection = projections.of(matrix);
  return projection ? stateSize(projection) : 2 * tf.util.sizeFromShape(matrix.shape);
}
