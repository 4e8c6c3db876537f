/** The tables of `docs/measurements.md` that `npm run bench -- performance` makes of its results. */
import type {CopyMeasurements} from '../groups/shared_memory';
import type {KernelMeasurements} from '../groups/webgpu_kernels';
import type {StepMeasurements} from '../groups/step_figures';
import {written, type Figure} from '../results/figure';
import type {Records, ResultRecord} from '../results/store';
import {megabytesIfTold, verdict, type Table} from './document';

/** @param records Those of the groups that have been measured. */
export function performanceTables(records: Records): Table[] {
  const groups = Object.entries(records);
  return [
    {
      name: 'figures',
      caption: 'Figures',
      header: ['figure', '', 'goal'],
      rows: groups.flatMap(([, {figures = []}]) => figures.map(figureRow)),
    },
    {
      name: 'runs',
      caption: 'Runs',
      header: ['group', 'machine', 'Node', 'commit', 'day', 'load before'],
      rows: groups.map(runRow),
    },
    ...groups.flatMap(([group, {measured}]): Table[] => {
      if (isSteps(measured)) return [stepTable(group, measured)];
      if (isCopies(measured)) return [copyTable(measured)];
      return isKernels(measured) ? [kernelTable(group, measured)] : [];
    }),
  ];
}

function figureRow({name, value, unit, goal}: Figure): string[] {
  const number = (value: number): string => written(value, unit);
  return [name, number(value), goal ? verdict(value, goal, number) : ''];
}

function runRow([group, {machine, node, commit, date, load}]: [string, ResultRecord]): string[] {
  return [group, machine, node, commit, date, load?.toFixed(1) ?? ''];
}

function isSteps(measured: object): measured is StepMeasurements {
  return 'steps' in measured;
}

function isKernels(measured: object): measured is KernelMeasurements {
  return 'kernels' in measured;
}

function isCopies(measured: object): measured is CopyMeasurements {
  return 'copies' in measured;
}

/** The slowest first. */
function copyTable({rounds, copies}: CopyMeasurements): Table {
  const ops = Object.entries(copies).map(([title, times]) => ({
    ...{title, ...times, ratio: times.shared / times.own},
  }));
  return {
    name: 'copies',
    caption: `Ops on memory of one thread's own and on shared memory, medians of ${rounds} rounds`,
    header: ['', 'ms', 'ms, shared', 'times'],
    rows: ops
      .sort((a, b) => b.ratio - a.ratio)
      .map(({title, own, shared, ratio}) => [
        ...[title, own.toFixed(4), shared.toFixed(4), ratio.toFixed(2)],
      ]),
  };
}

/** Times as parts of the first one's. */
function stepTable(group: string, {rounds, steps}: StepMeasurements): Table {
  const contenders = Object.values(steps);
  return {
    name: `${group} steps`,
    caption: `Steps on ${group}, medians of ${rounds} rounds`,
    header: ['training', 'ms', 'part', 'processors', 'process, MB', 'wasm, MB', 'tensors, MB'],
    rows: contenders.map(({title, milliseconds, processors, memory}) => [
      title,
      milliseconds.toFixed(0),
      (milliseconds / contenders[0]!.milliseconds).toFixed(3),
      processors?.toFixed(1) ?? '',
      ...[memory.resident, memory.wasm, memory.tensors].map(megabytesIfTold),
    ]),
  };
}

function kernelTable(group: string, {adapter, rounds, kernels}: KernelMeasurements): Table {
  return {
    name: `${group} kernels`,
    caption: `Kernels on ${group}, ${adapter}, medians of ${rounds} rounds`,
    header: ['', 'dispatches, composed', 'with kernels', 'time, part of composed'],
    rows: Object.entries(kernels).map(([title, {dispatches, part}]) => [
      title,
      String(dispatches.composed),
      String(dispatches.kernels),
      part.toFixed(2),
    ]),
  };
}
