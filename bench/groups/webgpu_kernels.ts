/**
 * Dispatches and time of what the webgpu kernels do, against the same composed of tfjs's ops:
 *
 *   npm run bench -- performance --only webgpu
 *
 * Both take turns, and a time is the median over the rounds of the ratio within a round. Dispatches are the same everywhere;
 * times are those of the adapter that is named, which without a GPU is a software one: there, arithmetic costs what on a GPU
 * the dispatches do.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {howToGet, loadBackend} from '../../tools/load_backend';
import {OwLoreOrthonormalize} from '../../src/kernels/kernel_names';
import {installKernels} from '../../src/kernels/webgpu';
import {blockGramSchmidt} from '../../src/owlore/optimizer/state/orthonormalize';
import {
  planProjection,
  projectedShape,
  basisShape,
} from '../../src/owlore/optimizer/state/projector';
import {countDispatches} from '../../tools/count_dispatches';
import {composedUpdate, kernelUpdate, runKernel} from '../../tools/webgpu_updates';
import type {Figure} from '../results/figure';
import type {MeasureGroup} from './group';
import {median} from '../harness/statistics';

/** The measurements of this group, by what is done. */
export interface KernelMeasurements {
  adapter: string;
  rounds: number;
  kernels: Record<string, KernelCosts>;
}

interface Row {
  title: string;
  composed: () => tf.Tensor;
  kernels: () => tf.Tensor;
}

interface KernelCosts {
  dispatches: {composed: number; kernels: number};
  milliseconds: {composed: number; kernels: number};
  /** Of the time with the composed ops. */
  part: number;
}

/** A projected matrix in the middle of a training that clips, and where what was found by the check is on the device, as on webgpu. */
function projectedUpdate(rows: number, columns: number, rank: number): Row {
  const projection = planProjection([rows, columns], rank, 'auto')!;
  const inputs = {
    variable: tf.randomNormal([rows, columns]),
    gradient: tf.randomNormal([rows, columns]),
    basis: tf.randomNormal<tf.Rank.R2>(basisShape(projection)),
    first: tf.randomNormal(projectedShape(projection)),
    second: tf.randomUniform(projectedShape(projection)),
    clip: tf.scalar(0.5),
    allFinite: tf.scalar(true, 'bool'),
  };
  const {side} = projection;
  const numbers = {beta1: 0.9, beta2: 0.999, rate: 1e-3, epsilon: 1e-8, decay: 0.99, side};
  return {
    title: `projected update, ${rows}×${columns}, rank ${rank}, ${side}`,
    composed: () => composedUpdate(inputs, numbers).variable,
    kernels: () => kernelUpdate(inputs, numbers).variable,
  };
}

function orthonormalization(rows: number, columns: number): Row {
  const matrix = tf.randomNormal<tf.Rank.R2>([rows, columns]);
  return {
    title: `orthonormal basis, ${rows}×${columns}`,
    composed: () => blockGramSchmidt(matrix),
    kernels: () => runKernel(OwLoreOrthonormalize, {matrix})[0]!,
  };
}

/** Milliseconds until the device has done it. */
async function time(body: () => tf.Tensor): Promise<number> {
  const start = performance.now();
  const end = tf.tidy(() => tf.slice(tf.reshape(body(), [-1]), 0, 1));
  await end.data();
  end.dispose();
  return performance.now() - start;
}

async function costs({composed, kernels}: Row, rounds: number): Promise<KernelCosts> {
  const count = (body: () => tf.Tensor): number => countDispatches(() => tf.dispose(tf.tidy(body)));
  const dispatches = {composed: count(composed), kernels: count(kernels)};
  const times: Array<{composed: number; kernels: number}> = [];
  // The first round compiles.
  for (let round = 0; round <= rounds; round++) {
    times.push({composed: await time(composed), kernels: await time(kernels)});
  }
  const measured = times.slice(1);
  return {
    dispatches,
    milliseconds: {
      composed: median(measured.map((t) => t.composed)),
      kernels: median(measured.map((t) => t.kernels)),
    },
    part: median(measured.map((t) => t.kernels / t.composed)),
  };
}

export const measure: MeasureGroup = async ({tiny, rounds = 9}) => {
  if (!(await loadBackend('webgpu'))) {
    return {figures: [], measured: {}, skipped: [`webgpu: needs ${howToGet.webgpu}`]};
  }
  await tf.setBackend('webgpu');
  await installKernels();
  // All tensors are on the device, as in a training.
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  const {adapterInfo} = (tf.backend() as tf.KernelBackend & Pick<WebGPUBackend, 'device'>).device;
  const adapter = `${adapterInfo.vendor} ${adapterInfo.architecture}`;
  console.log(`WebGPU adapter: ${adapter}`);

  const updates = [
    projectedUpdate(256, 256, 64),
    projectedUpdate(256, 688, 64),
    projectedUpdate(688, 256, 64),
    projectedUpdate(1024, 1024, 128),
    // sums that tfjs divides
    projectedUpdate(4096, 64, 16),
  ].slice(0, tiny ? 1 : undefined);
  const kernels: Record<string, KernelCosts> = {};
  const bases = [orthonormalization(256, 64), ...(tiny ? [] : [orthonormalization(1024, 128)])];
  for (const row of [...updates, ...bases]) {
    kernels[row.title] = await costs(row, rounds);
  }
  const max = (way: 'composed' | 'kernels'): number =>
    Math.max(...updates.map(({title}) => kernels[title]!.dispatches[way]));
  const figures: Figure[] = [
    {
      name: 'WebGPU: kernel dispatches per projected matrix update',
      value: max('kernels'),
      unit: 'count',
      goal: {atMost: 4},
    },
    {
      name: "WebGPU: the same, composed of tfjs's ops",
      value: max('composed'),
      unit: 'count',
    },
  ];
  const measured: KernelMeasurements = {adapter, rounds, kernels};
  return {figures, measured};
};
