/**
 * How the peak of tensor memory grows with depth, sequence length and vocabulary:
 *
 *   npm run bench:sweep
 *
 * The figures come from a backend that computes shapes only (`shape_backend.ts`), as the tensorflow backend makes and frees
 * them; some points are run on tensorflow as well, where it is there, and must agree. Exits with 1 if a claim fails.
 */
import * as tf from '@tensorflow/tfjs-core';
import {startMemoryMeter} from '../demo/memory_meter';
import {loadBackend} from '../scripts/load_backend';
import {writeRecord} from './record';
import {registerShapeBackend} from './shape_backend';
import {measureAlone} from './turns';
import {referenceShape, trainedSets, type Variant} from './workload';

const depths = [8, 16, 32];
const lengths = [128, 256, 512, 1024];
const vocabularies = [512, 32_768];
const variants = ['stock', 'none', 'auto'] as const satisfies Variant[];
const sets = ['full', 'lisa'] as const;

const titles = {
  full: 'full fine-tuning',
  lisa: '2 blocks, embedding, head',
  stock: 'stock',
  none: 'no checkpoints',
  auto: 'checkpoints',
};

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

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0);
const line = (cells: readonly string[]): void => console.log(`| ${cells.join(' | ')} |`);

console.log(
  `Peak of tensor memory in MB, ${referenceShape.batch} sequences a step: stock / no checkpoints / checkpoints`,
);
for (const set of sets) {
  console.log(`\n${titles[set]}\n`);
  line(['vocabulary', 'blocks', ...lengths.map((length) => `${length} tokens`)]);
  line(['---', '---', ...lengths.map(() => '---')]);
  for (const vocabulary of vocabularies) {
    for (const layers of depths) {
      const cells = lengths.map((length) =>
        variants
          .map((variant) => megabytes(at({set, variant, layers, length, vocabulary}).peak))
          .join(' / '),
      );
      line([vocabulary.toLocaleString('en'), String(layers), ...cells]);
    }
  }
}

interface Claim {
  what: string;
  value: number;
  limit: number;
}
const claims: Claim[] = [];
const start: Point = {set: 'full', variant: 'auto', layers: 8, length: 128, vocabulary: 512};

console.log('\nWhat a block more costs in full fine-tuning at 128 tokens, MB\n');
line(['blocks', ...variants.map((variant) => titles[variant])]);
line(['---', ...variants.map(() => '---')]);
depths.slice(1).forEach((layers, i) => {
  const before = depths[i]!;
  const costs = variants.map(
    (variant) =>
      (at({...start, variant, layers}).peak - at({...start, variant, layers: before}).peak) /
      (layers - before),
  );
  line([`${before} to ${layers}`, ...costs.map((cost) => (cost / 1e6).toFixed(2))]);
  claims.push({
    what: `MB a block more, ${before} to ${layers}, checkpoints`,
    value: costs[2]! / 1e6,
    limit: 11,
  });
});

/** 1 is linear, 2 is quadratic. */
const NEAR_LINEAR = 1.1;

console.log(
  '\nGrowth of what a step needs beyond weights and state when the sequences get twice as long: the power of the length ' +
    '(1 is linear, 2 quadratic), 8 blocks, vocabulary 512\n',
);
const doublings = lengths.slice(1).map((length, i) => [lengths[i]!, length] as const);
line(['trained', 'variant', ...doublings.map(([from, to]) => `${from} to ${to}`)]);
line(['---', '---', ...doublings.map(() => '---')]);
for (const set of sets) {
  for (const variant of variants) {
    const powers = doublings.map(([from, to]) =>
      Math.log2(
        working({...start, set, variant, length: to}) /
          working({...start, set, variant, length: from}),
      ),
    );
    line([titles[set], titles[variant], ...powers.map((power) => power.toFixed(2))]);
    if (variant === 'stock') continue;
    claims.push({
      what: `power of the length, ${titles[set]}, ${titles[variant]}`,
      value: Math.max(...powers),
      limit: NEAR_LINEAR,
    });
  }
}

/** Bytes of the large head's kernel, and of the embedding. */
const headBytes = referenceShape.hidden * vocabularies[1]! * 4;

console.log(
  `\nWhat a vocabulary of ${vocabularies[1]!.toLocaleString('en')} costs beyond weights and state, more than one of ` +
    `${vocabularies[0]}, in buffers of the head's size (${megabytes(headBytes)} MB)\n`,
);
line(['trained', 'variant', ...lengths.map((length) => `${length} tokens`)]);
line(['---', '---', ...lengths.map(() => '---')]);
for (const set of sets) {
  for (const variant of variants) {
    const buffers = lengths.map((length) => {
      const [small, large] = vocabularies.map((vocabulary) =>
        working({...start, set, variant, length, vocabulary}),
      );
      return (large! - small!) / headBytes;
    });
    line([titles[set], titles[variant], ...buffers.map((buffer) => buffer.toFixed(2))]);
    if (variant === 'stock') continue;
    claims.push({
      what: `buffers for a large head, ${titles[set]}, ${titles[variant]}`,
      value: Math.max(...buffers),
      limit: 4,
    });
  }
}

/** Points that a small machine can run in full. */
const realPoints: Point[] = [
  {...start, variant: 'stock', length: 256},
  {...start, variant: 'none', length: 512},
  {...start, layers: 16},
  {...start, length: 1024},
  {...start, set: 'lisa', vocabulary: 32_768},
];

/** TensorFlow's kernels are told shapes, axes and the like by tensors of a few numbers. */
const KERNEL_ARGUMENTS = 256;

const checked: Array<Point & {shapesOnly: number; real: number}> = [];
if (hasTensorflow) {
  console.log('\nThe same by real steps on the tensorflow backend, bytes\n');
  line(['trained', 'variant', 'blocks', 'tokens', 'vocabulary', 'shapes only', 'real']);
  line(['---', '---', '---', '---', '---', '---', '---']);
  await tf.setBackend('tensorflow');
  for (const point of realPoints) {
    const {peak: shapesOnly} = at(point);
    const {peak: real} = await measure(point);
    checked.push({...point, shapesOnly, real});
    const {set, variant, layers, length, vocabulary} = point;
    const numbers = [layers, length, vocabulary, shapesOnly, real];
    line([titles[set], titles[variant], ...numbers.map((number) => number.toLocaleString('en'))]);
    claims.push({
      what: `bytes by which a real step differs: ${keyOf(point)}`,
      value: Math.abs(real - shapesOnly),
      limit: KERNEL_ARGUMENTS,
    });
  }
}

console.log('\n');
for (const {what, value, limit} of claims) {
  const verdict = value <= limit ? 'holds' : 'FAILS';
  console.log(`${verdict}: ${what}: ${Number(value.toFixed(2))}, at most ${limit}`);
  if (!(value <= limit)) process.exitCode = 1;
}
writeRecord('sweep', {
  claims,
  points: points.map((point) => ({...point, ...at(point)})),
  checked,
});
