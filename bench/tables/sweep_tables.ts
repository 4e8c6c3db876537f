/** The tables that `npm run bench -- memory_sweep` makes of its results, and the claims that these have to hold. */
import {referenceShape, variantTitles, type Variant} from '../harness/workload';
import type {Figure} from '../results/figure';
import type {Records} from '../results/store';
import {megabytes, type Table} from './document';

export const depths = [8, 16, 32];
export const lengths = [128, 256, 512, 1024];
export const vocabularies = [512, 32_768];
export const sweepVariants = ['stock', 'none', 'auto'] as const satisfies Variant[];
export const sweepSets = ['full', 'lisa'] as const;

/** A training of the sweep. */
export interface Point {
  set: (typeof sweepSets)[number];
  variant: Variant;
  layers: number;
  length: number;
  vocabulary: number;
}

/** Bytes of one. */
export interface PointFigures {
  peak: number;
  /** Weights, optimizer state and the batch: what is there between two steps. */
  atRest: number;
}

export interface SweepMeasurements {
  points: Array<Point & PointFigures>;
  /** Peaks of the points that were run on tensorflow, too. */
  checked: Array<Point & {shapesOnly: number; real: number}>;
}

const setTitles = {full: 'all blocks, embedding, head', lisa: '2 blocks, embedding, head'};

/** The smallest point, of full fine-tuning with checkpoints. */
export const smallest: Point = {
  ...{set: 'full', variant: 'auto', layers: 8, length: 128, vocabulary: 512},
};

/** Exponents at most this far above 1 count as near linear. */
const NEAR_LINEAR = 1.1;

/** Bytes of the shapes, axes and the like that TensorFlow's kernels are told as tensors of a few numbers. */
const KERNEL_ARGUMENTS = 256;

/** Bytes of the large head's kernel, and of the embedding. */
const headBytes = referenceShape.hidden * vocabularies[1]! * 4;

/** Pairs of a length and the next one, twice as long. */
const doublings = lengths.slice(1).map((length, i) => [lengths[i]!, length] as const);

export function sweepTables(records: Records<SweepMeasurements>): Table[] {
  return Object.values(records).flatMap(({measured}) => {
    const sweep = new Sweep(measured);
    return [
      ...sweepSets.map((set) => peaksTable(sweep, set)),
      depthTable(sweep),
      lengthTable(sweep),
      vocabularyTable(sweep),
      ...(measured.checked.length > 0 ? [checkTable(measured)] : []),
    ];
  });
}

/** What the figures have to hold. */
export function sweepClaims(measured: SweepMeasurements): Array<Figure & {goal: {atMost: number}}> {
  const sweep = new Sweep(measured);
  const claim = (
    name: string,
    value: number,
    atMost: number,
  ): Figure & {goal: {atMost: number}} => ({name, value, unit: 'count', goal: {atMost}});
  const ours = sweepSets.flatMap((set) =>
    (['none', 'auto'] as const).map((variant) => ({set, variant})),
  );
  return [
    ...depths
      .slice(1)
      .map((layers, i) =>
        claim(
          `MB for a block more, ${depths[i]!} to ${layers}, checkpoints`,
          sweep.megabytesPerBlock('auto', depths[i]!, layers),
          11,
        ),
      ),
    ...ours.map(({set, variant}) =>
      claim(
        `exponent of the length, ${setTitles[set]}, ${variantTitles[variant]}`,
        Math.max(...sweep.exponents(set, variant)),
        NEAR_LINEAR,
      ),
    ),
    ...ours.map(({set, variant}) =>
      claim(
        `buffers for a large head, ${setTitles[set]}, ${variantTitles[variant]}`,
        Math.max(...sweep.headBuffers(set, variant)),
        4,
      ),
    ),
    ...measured.checked.map(({shapesOnly, real, ...point}) =>
      claim(
        `bytes by which a real step differs, ${keyOf(point)}`,
        Math.abs(real - shapesOnly),
        KERNEL_ARGUMENTS,
      ),
    ),
  ];
}

/** The points, by what they are. */
class Sweep {
  private readonly figures: ReadonlyMap<string, PointFigures>;

  constructor({points}: SweepMeasurements) {
    this.figures = new Map(points.map((point) => [keyOf(point), point]));
  }

  at(point: Point): PointFigures {
    return this.figures.get(keyOf(point))!;
  }

  /** What a block more adds to the peak of full fine-tuning. */
  megabytesPerBlock(variant: Variant, before: number, layers: number): number {
    const [more, fewer] = [layers, before].map((layers) => this.at({...smallest, variant, layers}));
    return (more!.peak - fewer!.peak) / (layers - before) / 1e6;
  }

  /** Of each doubling of the length the exponent by which grows what a step needs beyond what is there between steps. */
  exponents(set: Point['set'], variant: Variant): number[] {
    return doublings.map((pair) => {
      const [from, to] = pair.map((length) => this.working({...smallest, set, variant, length}));
      return Math.log2(to! / from!);
    });
  }

  /** Of each length what the large vocabulary takes beyond weights and state, in buffers of the head's size. */
  headBuffers(set: Point['set'], variant: Variant): number[] {
    return lengths.map((length) => {
      const [small, large] = vocabularies.map((vocabulary) =>
        this.working({...smallest, set, variant, length, vocabulary}),
      );
      return (large! - small!) / headBytes;
    });
  }

  private working(point: Point): number {
    const {peak, atRest} = this.at(point);
    return peak - atRest;
  }
}

export function keyOf({set, variant, layers, length, vocabulary}: Point): string {
  return [set, variant, layers, length, vocabulary].join();
}

function peaksTable(sweep: Sweep, set: Point['set']): Table {
  return {
    name: `sweep ${set}`,
    caption:
      `${setTitles[set]}: peak of tensor memory in MB, ${referenceShape.batch} sequences a step, ` +
      'stock / no checkpoints / checkpoints',
    header: ['vocabulary', 'blocks', ...lengths.map((length) => `${length} tokens`)],
    rows: vocabularies.flatMap((vocabulary) =>
      depths.map((layers) => {
        const cells = lengths.map((length) =>
          sweepVariants
            .map((variant) => megabytes(sweep.at({set, variant, layers, length, vocabulary}).peak))
            .join(' / '),
        );
        return [vocabulary.toLocaleString('en'), String(layers), ...cells];
      }),
    ),
  };
}

function depthTable(sweep: Sweep): Table {
  return {
    name: 'sweep depth',
    caption: 'What a block more adds to the peak of full fine-tuning at 128 tokens, MB',
    header: ['blocks', ...sweepVariants.map((variant) => variantTitles[variant])],
    rows: depths.slice(1).map((layers, i) => {
      const before = depths[i]!;
      const costs = sweepVariants.map((variant) =>
        sweep.megabytesPerBlock(variant, before, layers),
      );
      return [`${before} to ${layers}`, ...costs.map((cost) => cost.toFixed(1))];
    }),
  };
}

function lengthTable(sweep: Sweep): Table {
  return {
    name: 'sweep length',
    caption:
      'Growth of what a step needs beyond weights and state when the sequences get twice as long: the exponent of the length ' +
      '(1 is linear, 2 quadratic), 8 blocks, vocabulary 512',
    header: ['trained', '', ...doublings.map(([from, to]) => `${from} to ${to}`)],
    rows: variantRows((set, variant) => sweep.exponents(set, variant)),
  };
}

function vocabularyTable(sweep: Sweep): Table {
  return {
    name: 'sweep vocabulary',
    caption:
      `What a vocabulary of ${vocabularies[1]!.toLocaleString('en')} takes beyond weights and state, more than one of ` +
      `${vocabularies[0]} does, in buffers of the head's size (${megabytes(headBytes)} MB); 8 blocks`,
    header: ['trained', '', ...lengths.map((length) => `${length} tokens`)],
    rows: variantRows((set, variant) => sweep.headBuffers(set, variant)),
  };
}

/** A row of numbers for each set and variant. */
function variantRows(numbers: (set: Point['set'], variant: Variant) => number[]): string[][] {
  return sweepSets.flatMap((set) =>
    sweepVariants.map((variant) => [
      setTitles[set],
      variantTitles[variant],
      ...numbers(set, variant).map((x) => x.toFixed(2)),
    ]),
  );
}

function checkTable({checked}: SweepMeasurements): Table {
  return {
    name: 'sweep check',
    caption:
      'Peaks in bytes, by the shape-only backend and by real steps on the tensorflow backend',
    header: ['trained', '', 'blocks', 'tokens', 'vocabulary', 'shapes only', 'real'],
    rows: checked.map(({set, variant, layers, length, vocabulary, shapesOnly, real}) => {
      const numbers = [layers, length, vocabulary, shapesOnly, real];
      const cells = numbers.map((number) => number.toLocaleString('en'));
      return [setTitles[set], variantTitles[variant], ...cells];
    }),
  };
}
