/**
 * Dispatches and time of what the webgpu kernels do, against the same composed of tfjs's ops:
 *
 *   npm run bench:webgpu
 *   npm run bench:webgpu -- --rounds 20
 *
 * Both take turns, and a time is the median over the rounds of the ratio within a round. Dispatches are the same everywhere;
 * times are those of the adapter that is named, which without a GPU is a software one: there, arithmetic costs what on a GPU
 * the dispatches do. Exits with 1 if a projected update takes more than 4 dispatches.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type {WebGPUBackend} from '@tensorflow/tfjs-backend-webgpu';
import {loadBackend} from '../scripts/load_backend';
import {OwLoreOrthonormalize} from '../src/kernels/kernel_names';
import {installKernels} from '../src/kernels/webgpu';
import {blockGramSchmidt} from '../src/optim/orthonormalize';
import {planProjection, projectedShape, basisShape} from '../src/optim/projector';
import {countDispatches} from '../test/kernels/webgpu/count_dispatches';
import {composedUpdate, kernelUpdate, runKernel} from '../test/kernels/webgpu/updates';
import {writeRecord} from './record';

/** Most kernel dispatches of one projected matrix update. */
const TARGET = 4;

const {values} = parseArgs({options: {rounds: {type: 'string'}}});
const rounds = Number(values.rounds ?? 9);

if (!(await loadBackend('webgpu'))) throw new Error('no WebGPU adapter');
await tf.setBackend('webgpu');
await installKernels();
// All tensors are on the device, as in a training.
tf.env().set('WEBGPU_CPU_FORWARD', false);
const {vendor, architecture} = (tf.backend() as tf.KernelBackend & Pick<WebGPUBackend, 'device'>)
  .device.adapterInfo;
const adapter = `${vendor} ${architecture}`;

interface Row {
  title: string;
  composed: () => tf.Tensor;
  kernels: () => tf.Tensor;
  /** Most dispatches with the kernels. */
  target?: number;
}

interface Figures {
  dispatches: {composed: number; kernels: number};
  milliseconds: {composed: number; kernels: number};
  /** Of the time with the composed ops. */
  part: number;
}

/** A projected matrix in the middle of a training that clips and has a mask, as webgpu does. */
function projectedUpdate(rows: number, columns: number, rank: number): Row {
  const projection = planProjection([rows, columns], rank, 'auto')!;
  const inputs = {
    variable: tf.randomNormal([rows, columns]),
    gradient: tf.randomNormal([rows, columns]),
    basis: tf.randomNormal<tf.Rank.R2>(basisShape(projection)),
    first: tf.randomNormal(projectedShape(projection)),
    second: tf.randomUniform(projectedShape(projection)),
    clip: tf.scalar(0.5),
    mask: tf.scalar(true, 'bool'),
  };
  const {side} = projection;
  const numbers = {beta1: 0.9, beta2: 0.999, rate: 1e-3, epsilon: 1e-8, decay: 0.99, side};
  return {
    title: `projected update, ${rows}×${columns}, rank ${rank}, ${side}`,
    composed: () => composedUpdate(inputs, numbers).variable,
    kernels: () => kernelUpdate(inputs, numbers).variable,
    target: TARGET,
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

const rows = [
  projectedUpdate(256, 256, 64),
  projectedUpdate(256, 688, 64),
  projectedUpdate(688, 256, 64),
  projectedUpdate(1024, 1024, 128),
  orthonormalization(256, 64),
  orthonormalization(1024, 128),
];

/** Milliseconds until the device has done it. */
async function time(body: () => tf.Tensor): Promise<number> {
  const start = performance.now();
  const end = tf.tidy(() => tf.slice(tf.reshape(body(), [-1]), 0, 1));
  await end.data();
  end.dispose();
  return performance.now() - start;
}

async function measure({composed, kernels}: Row): Promise<Figures> {
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

function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}

const line = (cells: readonly string[]): void => console.log(`| ${cells.join(' | ')} |`);
console.log(`WebGPU adapter: ${adapter}, ${rounds} rounds\n`);
line(['', 'dispatches, composed', 'with kernels', 'ms, composed', 'with kernels', 'part']);
line(['---', '---', '---', '---', '---', '---']);
const results: Record<string, Figures> = {};
let missed = false;
for (const row of rows) {
  const figures = await measure(row);
  results[row.title] = figures;
  const {dispatches, milliseconds, part} = figures;
  const misses = row.target !== undefined && dispatches.kernels > row.target;
  if (misses) missed = true;
  const verdict = row.target === undefined ? '' : ` (${misses ? 'misses' : 'meets'} ${row.target})`;
  line([
    row.title,
    String(dispatches.composed),
    `${dispatches.kernels}${verdict}`,
    milliseconds.composed.toFixed(1),
    milliseconds.kernels.toFixed(1),
    part.toFixed(2),
  ]);
}
await writeRecord('webgpu_kernels', {adapter, rounds, results});
process.exitCode = missed ? 1 : 0;
