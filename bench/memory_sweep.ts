/**
 * How the peak of tensor memory grows with depth, sequence length and vocabulary:
 *
 *   npm run bench:sweep
 *
 * The figures come from a backend that computes shapes only (`shape_backend.ts`), as the tensorflow backend makes and frees
 * them; some points are run on tensorflow as well, where it is there, and must agree. Exits with 1 if a claim fails.
 *
 * With `--write` the figures go to `docs/memory.md` and `bench/results/sweep.json`.
 */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../src/memory/meter';
import {loadBackend} from '../scripts/load_backend';
import {writeRecord} from './record';
import {megabytes, Report} from './report';
import {registerShapeBackend} from './shape_backend';
import {measureAlone} from './turns';
import {referenceShape, trainedSets, variantTitles, type Variant} from './workload';

const {values: flags} = parseArgs({options: {write: {type: 'boolean', default: false}}});

const depths = [8, 16, 32];
const lengths = [128, 256, 512, 1024];
const vocabularies = [512, 32_768];
const variants = ['stock', 'none', 'auto'] as const satisfies Variant[];
const sets = ['full', 'lisa'] as const;

const setTitles = {full: 'all blocks, embedding, head', lisa: '2 blocks, embedding, head'};

interface Point {
  set: (typeof sets)[number];
  variant: Variant;
  layers: number;
  length: number;
  vocabulary: number;
}

interface Figures {
  peak: number;
  /** Weights, optimizer state and the batch: what is there between two steps. */
  atRest: number;
}

// Before the meter, which looks at the backends that are there when it starts.
const hasTensorflow = await loadBackend('tensorflow');
const meter = startMemoryMeter();

function measure({set, variant, ...size}: Point): Promise<Figures> {
  const shape = {...referenceShape, ...size};
  return measureAlone({shape, trained: trainedSets[set], variant}, meter);
}

const points: Point[] = sets.flatMap((set) =>
  vocabularies.flatMap((vocabulary) =>
    depths.flatMap((layers) =>
      lengths.flatMap((length) =>
        variants.map((variant) => ({set, variant, layers, length, vocabulary})),
      ),
    ),
  ),
);

await tf.setBackend(await registerShapeBackend('tensorflow'));
const figures = new Map<string, Figures>();
for (const point of points) figures.set(keyOf(point), await measure(point));

function keyOf({set, variant, layers, length, vocabulary}: Point): string {
  return [set, variant, layers, length, vocabulary].join();
}

function at(point: Point): Figures {
  return figures.get(keyOf(point))!;
}

/** What a step needs beyond what is there between steps. */
function working(point: Point): number {
  const {peak, atRest} = at(point);
  return peak - atRest;
}

const report = new Report('memory.md');

interface Claim {
  what: string;
  value: number;
  atMost: number;
}
const claims: Claim[] = [];
const start: Point = {set: 'full', variant: 'auto', layers: 8, length: 128, vocabulary: 512};

for (const set of sets) {
  report.table(
    `sweep ${set}`,
    `${setTitles[set]}: peak of tensor memory in MB, ${referenceShape.batch} sequences a step, ` +
      'stock / no checkpoints / checkpoints',
    ['vocabulary', 'blocks', ...lengths.map((length) => `${length} tokens`)],
    vocabularies.flatMap((vocabulary) =>
      depths.map((layers) => {
        const cells = lengths.map((length) =>
          variants
            .map((variant) => megabytes(at({set, variant, layers, length, vocabulary}).peak))
            .join(' / '),
        );
        return [vocabulary.toLocaleString('en'), String(layers), ...cells];
      }),
    ),
  );
}

report.table(
  'sweep depth',
  'What a block more adds to the peak of full fine-tuning at 128 tokens, MB',
  ['blocks', ...variants.map((variant) => variantTitles[variant])],
  depths.slice(1).map((layers, i) => {
    const before = depths[i]!;
    const costs = variants.map((variant) => {
      const [more, fewer] = [layers, before].map((layers) => at({...start, variant, layers}).peak);
      return (more! - fewer!) / (layers - before) / 1e6;
    });
    claims.push({
      what: `MB for a block more, ${before} to ${layers}, checkpoints`,
      value: costs[2]!,
      atMost: 11,
    });
    return [`${before} to ${layers}`, ...costs.map((cost) => cost.toFixed(1))];
  }),
);

/** Exponents at most this far above 1 count as near linear. */
const NEAR_LINEAR = 1.1;

const doublings = lengths.slice(1).map((length, i) => [lengths[i]!, length] as const);
report.table(
  'sweep length',
  'Growth of what a step needs beyond weights and state when the sequences get twice as long: the exponent of the length ' +
    '(1 is linear, 2 quadratic), 8 blocks, vocabulary 512',
  ['trained', '', ...doublings.map(([from, to]) => `${from} to ${to}`)],
  sets.flatMap((set) =>
    variants.map((variant) => {
      const exponents = doublings.map((pair) => {
        const [from, to] = pair.map((length) => working({...start, set, variant, length}));
        return Math.log2(to! / from!);
      });
      if (variant !== 'stock') {
        claims.push({
          what: `exponent of the length, ${setTitles[set]}, ${variantTitles[variant]}`,
          value: Math.max(...exponents),
          atMost: NEAR_LINEAR,
        });
      }
      return [setTitles[set], variantTitles[variant], ...exponents.map((x) => x.toFixed(2))];
    }),
  ),
);

/** Bytes of the large head's kernel, and of the embedding. */
const headBytes = referenceShape.hidden * vocabularies[1]! * 4;

report.table(
  'sweep vocabulary',
  `What a vocabulary of ${vocabularies[1]!.toLocaleString('en')} takes beyond weights and state, more than one of ` +
    `${vocabularies[0]} does, in buffers of the head's size (${megabytes(headBytes)} MB); 8 blocks`,
  ['trained', '', ...lengths.map((length) => `${length} tokens`)],
  sets.flatMap((set) =>
    variants.map((variant) => {
      const buffers = lengths.map((length) => {
        const [small, large] = vocabularies.map((vocabulary) =>
          working({...start, set, variant, length, vocabulary}),
        );
        return (large! - small!) / headBytes;
      });
      if (variant !== 'stock') {
        claims.push({
          what: `buffers for a large head, ${setTitles[set]}, ${variantTitles[variant]}`,
          value: Math.max(...buffers),
          atMost: 4,
        });
      }
      return [setTitles[set], variantTitles[variant], ...buffers.map((x) => x.toFixed(2))];
    }),
  ),
);

/** Points that a small machine can run in full. */
const realPoints: Point[] = [
  {...start, variant: 'stock', length: 256},
  {...start, variant: 'none', length: 512},
  {...start, layers: 16},
  {...start, length: 1024},
  {...start, set: 'lisa', vocabulary: 32_768},
];

/** Bytes of the shapes, axes and the like that TensorFlow's kernels are told as tensors of a few numbers. */
const KERNEL_ARGUMENTS = 256;

const checked: Array<Point & {shapesOnly: number; real: number}> = [];
if (hasTensorflow) {
  await tf.setBackend('tensorflow');
  for (const point of realPoints) {
    const {peak: real} = await measure(point);
    checked.push({...point, shapesOnly: at(point).peak, real});
  }
  report.table(
    'sweep check',
    'Peaks in bytes, by the shape-only backend and by real steps on the tensorflow backend',
    ['trained', '', 'blocks', 'tokens', 'vocabulary', 'shapes only', 'real'],
    checked.map(({set, variant, layers, length, vocabulary, shapesOnly, real}) => {
      const numbers = [layers, length, vocabulary, shapesOnly, real];
      const cells = numbers.map((number) => number.toLocaleString('en'));
      return [setTitles[set], variantTitles[variant], ...cells];
    }),
  );
  for (const {shapesOnly, real, ...point} of checked) {
    claims.push({
      what: `bytes by which a real step differs, ${keyOf(point)}`,
      value: Math.abs(real - shapesOnly),
      atMost: KERNEL_ARGUMENTS,
    });
  }
}

console.log();
for (const {what, value, atMost} of claims) {
  const holds = value <= atMost;
  console.log(
    `${holds ? 'holds' : 'FAILS'}: ${what}: ${Number(value.toFixed(2))}, at most ${atMost}`,
  );
  if (!holds) process.exitCode = 1;
}
if (flags.write) {
  await report.writeDocs();
  await writeRecord('sweep', {
    claims,
    points: points.map((point) => ({...point, ...at(point)})),
    checked,
  });
}
