/** The tables of a page of `docs/` that `npm run bench -- tables` makes of a setting's results. */
import {mean, type PairedDifference} from '../compare/arithmetic';
import type {ClaimSummary, RowSummary, SettingSummary} from '../compare/summary';
import type {MethodTimes} from '../compare/times';
import type {Records} from '../results/store';
import {megabytes, type Table} from './document';

/**
 * @returns tables called after the setting and its stages, of those that have begun: `smollm2 rates`, `smollm2 main`, …,
 *   `smollm2 claims`, and `smollm2 tasks` where models are asked questions.
 */
export function compareTables({
  name,
  title,
  rates,
  stages,
  claims,
  paretoFront,
  before,
}: SettingSummary): Table[] {
  const tables = [
    {
      name: `${name} rates`,
      caption: `${title}: loss on the validation examples by learning rate`,
      header: ['method', 'losses', 'best rate'],
      rows: rates.map(({title, tried, best}) => [
        title,
        tried
          .map(({rate, loss}) => `${rateText(rate)}: ${loss?.toFixed(4) ?? 'no end'}`)
          .join(', '),
        best === null ? '' : rateText(best),
      ]),
    },
    ...stages.map(({name: stage, title: stageTitle, rows}) => {
      const isPaired = rows.some(({difference}) => difference !== null);
      return {
        name: `${name} ${stage}`,
        caption: `${title}: ${stageTitle}`,
        header: [
          ...['', 'held-out loss', 'neutral text', 'tensors, MB', 'state, MB', 'process, MB'],
          ...['weights changed', 'rate'],
          ...(isPaired ? ['loss less that of', 'difference', '95 % interval'] : []),
        ],
        rows: rows.map((row) => [
          ...stageRow(row, paretoFront.includes(row.title)),
          ...(isPaired ? differenceCells(row) : []),
        ]),
      };
    }),
    {
      name: `${name} claims`,
      caption: `${title}: the claims of the paper`,
      header: ['lower loss', 'than', 'difference', '95 % interval', 'seeds', 'here'],
      rows: claims.filter(({difference}) => difference !== null).map(claimRow),
    },
    {
      name: `${name} tasks`,
      caption: `${title}: questions that are answered rightly`,
      ...taskTable(before, stages),
    },
  ];
  return tables.filter(({rows}) => rows.length > 0);
}

/** What a step of each method takes, by setting. */
export function timesTables(records: Records<{methods: MethodTimes[]}>): Table[] {
  return Object.entries(records).map(([name, {measured, machine}]) => ({
    name: `${name} times`,
    caption: `${name}: a step of each method on ${machine}`,
    header: ['', 's a step', 'part', 'tensors, MB', 'process, MB'],
    rows: measured.methods.map(({title, seconds, peakBytes, residentBytes}) => [
      title,
      seconds.toFixed(2),
      (seconds / measured.methods[0]!.seconds).toFixed(2),
      ...[peakBytes, residentBytes].map(megabytes),
    ]),
  }));
}

/** @param isOnFront Whether it is on the Pareto front of what is shown beside it: nothing there has a lower loss with no more memory. */
function stageRow(row: RowSummary, isOnFront: boolean): string[] {
  const {title, loss, deviation, losses, failed, neutral, memory, changed, rate} = row;
  const spread = losses.length > 1 ? ` ± ${deviation.toFixed(4)}` : '';
  return [
    isOnFront ? `**${title}**` : title,
    `${loss.toFixed(4)}${spread}${failed > 0 ? `, ${failed} without an end` : ''}`,
    neutral.toFixed(3),
    ...[memory.peak, memory.state, memory.resident].map(megabytes),
    `${(100 * changed.share).toFixed(0)} %`,
    rateText(rate),
  ];
}

function differenceCells({difference}: RowSummary): string[] {
  return difference ? [difference.against, ...signedInterval(difference)] : ['', '', ''];
}

function claimRow({better, worse, difference, verdict}: ClaimSummary): string[] {
  if (difference === null) return [better, worse, '', '', '', verdict];
  const seeds = String(difference.seeds.length);
  return [better, worse, ...signedInterval(difference), seeds, verdict];
}

/** The part of each task's questions that is answered rightly, before training and by method, and the mean over tasks. */
function taskTable(
  before: SettingSummary['before'],
  stages: SettingSummary['stages'],
): Pick<Table, 'header' | 'rows'> {
  const trained = stages.find(({name}) => name === 'main')?.rows ?? [];
  const asked = [{title: 'before training', tasks: before?.tasks ?? null}, ...trained].flatMap(
    ({title, tasks}) => (tasks ? [{title, tasks}] : []),
  );
  const names = Object.keys(asked[0]?.tasks ?? {});
  const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
  return {
    header: [
      '',
      ...names.map((task) => `${task} (${asked[0]!.tasks[task]!.questions})`),
      ...(names.length > 1 ? ['mean'] : []),
    ],
    rows: asked.map(({title, tasks}) => {
      const parts = names.map((task) => tasks[task]!.accuracy);
      return [title, ...parts.map(percent), ...(parts.length > 1 ? [percent(mean(parts))] : [])];
    }),
  };
}

/** The mean difference, and its 95 % interval, which is empty for one seed. */
function signedInterval({mean: center, halfWidth}: PairedDifference): [string, string] {
  const [low, high] = [center - halfWidth, center + halfWidth];
  return [signed(center), Number.isNaN(halfWidth) ? '' : `${signed(low)} to ${signed(high)}`];
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`;
}

/** `2e-5`. */
function rateText(rate: number): string {
  return rate.toExponential();
}
