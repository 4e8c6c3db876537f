import * as tf from '@tensorflow/tfjs-core';
import type {LinearUse} from './linear_use';

type ConvInputs = Record<'x' | 'filter', tf.Tensor>;

/** How a convolution moves along one spatial axis. */
interface Walk {
  size: number;
  stride: number;
  dilation: number;
  steps: number;
  /** Zeros before and after the entries; without those behind, a slice may be empty, which webgpu cannot sum. */
  padding: [number, number];
  /** Entries before the first one that it meets. */
  skipped: number;
}

/** Dense and depthwise convolution over two axes. */
export function conv2dUses({x, filter}: ConvInputs, attributes: tf.Conv2DAttrs): LinearUse[] {
  if (attributes.dataFormat === 'NCHW') return [];
  return [convUse(x, filter, () => walks2d(x, filter, attributes))];
}

/** Convolution over three axes; tfjs has it for channels last alone. */
export function conv3dUses({x, filter}: ConvInputs, attributes: tf.Conv3DAttrs): LinearUse[] {
  return [convUse(x, filter, () => walks3d(x, filter, attributes))];
}

/**
 * A transposed convolution spreads the value at each place of its input by a filter `[height, width, out, in]`:
 * the features are the input's channels. (Parts of patches that padding cuts off count as well.)
 */
export function transposedConv2dUses({
  dy,
  filter,
}: Record<'dy' | 'filter', tf.Tensor>): LinearUse[] {
  const sumRows = (values: tf.Tensor) => tf.sum(values, [0, 1, 2]);
  return [{weight: filter, input: dy, featureAxes: [3], sumRows}];
}

/**
 * A convolution is a linear map of patches: a feature is a channel at a place in the patch, a row is a
 * place of the output.
 */
function convUse(input: tf.Tensor, weight: tf.Tensor, walksOf: () => Walk[]): LinearUse {
  const channelAxis = input.rank - 1;
  return {
    weight,
    input,
    featureAxes: [channelAxis],
    sumRows(values) {
      const walks = walksOf();
      const padded = tf.pad(values, [[0, 0], ...walks.map(({padding}) => padding), [0, 0]]);
      const [batch, channels] = [input.shape[0], input.shape[channelAxis]!];
      const sums = patchPlaces(walks).map((place) => {
        const begin = walks.map(({dilation, skipped}, i) => skipped + place[i]! * dilation);
        const end = walks.map(({stride, steps}, i) => begin[i]! + (steps - 1) * stride + 1);
        const strides = walks.map(({stride}) => stride);
        const met = tf.stridedSlice(
          padded,
          [0, ...begin, 0],
          [batch, ...end, channels],
          [1, ...strides, 1],
        );
        return tf.sum(tf.reshape(met, [-1, channels]), 0);
      });
      return tf.reshape(tf.stack(sums), [...walks.map(({size}) => size), channels, 1]);
    },
  };
}

/** The places in a patch, in the order of the filter's entries. */
function patchPlaces(walks: readonly Walk[]): number[][] {
  return walks.reduce<number[][]>(
    (places, {size}) =>
      places.flatMap((place) => Array.from({length: size}, (_, i) => [...place, i])),
    [[]],
  );
}

function walks2d(x: tf.Tensor, filter: tf.Tensor, attributes: tf.Conv2DAttrs): Walk[] {
  const {strides, dilations, pad, dimRoundingMode} = attributes;
  const info = tf.backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number, number],
    strides,
    dilations ?? 1, // the DepthwiseConv2D layer gives null
    pad,
    dimRoundingMode,
  );
  const {top, bottom, left, right} = info.padInfo;
  return [walk(info, 'Height', [top, bottom]), walk(info, 'Width', [left, right])];
}

function walks3d(x: tf.Tensor, filter: tf.Tensor, attributes: tf.Conv3DAttrs): Walk[] {
  const {strides, dilations, pad} = attributes;
  const info = tf.backend_util.computeConv3DInfo(
    x.shape as [number, number, number, number, number],
    filter.shape as [number, number, number, number, number],
    strides,
    dilations,
    pad,
  );
  const {front, back, top, bottom, left, right} = info.padInfo;
  return [
    walk(info, 'Depth', [front, back]),
    walk(info, 'Height', [top, bottom]),
    walk(info, 'Width', [left, right]),
  ];
}

/** How a filter moves along an axis, from tfjs's description of the convolution. */
function walk<Axis extends 'Depth' | 'Height' | 'Width'>(
  info: Record<`${'filter' | 'stride' | 'dilation' | 'out'}${Axis}`, number>,
  axis: Axis,
  [before, after]: [number, number],
): Walk {
  return {
    size: info[`filter${axis}`],
    stride: info[`stride${axis}`],
    dilation: info[`dilation${axis}`],
    steps: info[`out${axis}`],
    padding: [Math.max(before, 0), Math.max(after, 0)],
    // Over three axes tfjs's padding is negative where a stride is longer than the filter; TensorFlow takes it for none.
    skipped: tf.getBackend() === 'tensorflow' ? 0 : Math.max(-before, 0),
  };
}
