import type {
  OwLoreAttentionSublayerAttrs,
  OwLoreAttentionSublayerGradAttrs,
  OwLoreMlpSublayerAttrs,
  OwLoreMlpSublayerGradAttrs,
} from '../llama/kernel_names';
import {attention, attentionGrad, type KeepsWeights} from './attention';
import {headSizes, projectToHeads} from './heads';
import {runOps, type NativeInputs, type NativeKernel} from './kernel';
import {lowRankGrads, product, productGrad, withLowRank} from './low_rank';
import type {Native, NativeOps} from './native_ops';
import {asRows, inverseRms, normalize, normalizeGrad} from './rms_norm';
import {swiglu, swigluGrad} from './swiglu';

const PROJECTIONS = ['q', 'k', 'v'] as const;
const MLP = ['gate', 'up', 'down'] as const;
/** Of a block: its halves give gradients of low-rank products alone, if one of them has any. */
const MATRICES = [...PROJECTIONS, 'o', ...MLP] as const;

/** OwLoreAttentionSublayer. */
export const attentionSublayer: NativeKernel<OwLoreAttentionSublayerAttrs & KeepsWeights> = (
  ops,
  inputs,
  attrs,
) => {
  const x = asRows(ops, inputs['x']!);
  const scale = inverseRms(ops, x, attrs.epsilon);
  const [mixed, ...projected] = ops.scope(() =>
    runOps(attention, ops, {...inputs, x: normalize(ops, x, scale, inputs['norm']!)}, attrs),
  );
  const value = ops.scope(() => ops.add(x, product(ops, inputs, 'o', mixed!, attrs)));
  return [ops.reshape(value, inputs['x']!.shape), scale, mixed!, ...projected];
};

/** Of {@link attentionSublayer} the scale, and queries, keys and values. */
export function queriesKeysValues(
  ops: NativeOps,
  inputs: NativeInputs,
  attrs: OwLoreAttentionSublayerAttrs,
): Native[] {
  const x = asRows(ops, inputs['x']!);
  const scale = inverseRms(ops, x, attrs.epsilon);
  const heads = ops.scope(() => {
    const given = {...inputs, x: normalize(ops, x, scale, inputs['norm']!)};
    return projectToHeads(ops, given, headSizes(given, attrs), attrs);
  });
  return [scale, ...heads];
}

/** OwLoreAttentionSublayerGrad. */
export const attentionSublayerGrad: NativeKernel<OwLoreAttentionSublayerGradAttrs> = (
  ops,
  inputs,
  attrs,
) => {
  const [x, dy] = [asRows(ops, inputs['x']!), asRows(ops, inputs['dy']!)];
  const {mixed} = inputs;
  const isLowRank = withLowRank(inputs, MATRICES).length > 0;
  const [dNormalized, ...dKernels] = ops.scope(() => {
    const normalized = normalize(ops, x, inputs['scale']!, inputs['norm']!);
    const dMixed = productGrad(ops, inputs, 'o', dy, attrs);
    const given = {...inputs, x: normalized, ...(mixed && {y: mixed}), dy: dMixed};
    const withKernelGradients =
      attrs.withWeightGradients && (!isLowRank || withLowRank(inputs, PROJECTIONS).length > 0);
    return runOps(attentionGrad, ops, given, {...attrs, withKernelGradients});
  });
  const [dx, dNorm] = throughNorm(ops, inputs, x, dy, dNormalized!);
  if (!attrs.withWeightGradients) return [dx];
  if (isLowRank) {
    const dOutputWeights = withLowRank(inputs, ['o']).flatMap((name) =>
      lowRankGrads(ops, inputs, name, mixed!, dy, attrs),
    );
    return [dx, ...dKernels, ...dOutputWeights];
  }
  const [dq, dk, dv, ...dBiases] = dKernels as [Native, Native, Native, ...Native[]];
  return [dx, dNorm, dq, dk, dv, ops.matMul(mixed!, dy, true), ...dBiases];
};

/** OwLoreMlpSublayer. */
export const mlpSublayer: NativeKernel<OwLoreMlpSublayerAttrs> = (ops, inputs, attrs) => {
  const {epsilon, withoutValue} = attrs;
  const x = asRows(ops, inputs['x']!);
  const scale = inverseRms(ops, x, epsilon);
  const [gated, upped] = ops.scope((): [Native, Native] => {
    const normalized = normalize(ops, x, scale, inputs['norm']!);
    return [
      product(ops, inputs, 'gate', normalized, attrs),
      product(ops, inputs, 'up', normalized, attrs),
    ];
  });
  if (withoutValue) return [ops.reshape(x, inputs['x']!.shape), scale, gated, upped];
  const value = ops.scope(() => {
    const [hidden] = runOps(swiglu, ops, {gate: gated, up: upped}, {});
    return ops.add(x, product(ops, inputs, 'down', hidden!, attrs));
  });
  return [ops.reshape(value, inputs['x']!.shape), scale, gated, upped];
};

/** OwLoreMlpSublayerGrad. */
export const mlpSublayerGrad: NativeKernel<OwLoreMlpSublayerGradAttrs> = (ops, inputs, attrs) => {
  const {withWeightGradients} = attrs;
  const [x, dy] = [asRows(ops, inputs['x']!), asRows(ops, inputs['dy']!)];
  const [dGated, dUpped, hidden] = ops.scope(() => {
    const given = {
      dy: productGrad(ops, inputs, 'down', dy, attrs),
      gate: inputs['gated']!,
      up: inputs['upped']!,
    };
    return runOps(swigluGrad, ops, given, {withValue: withWeightGradients});
  }) as [Native, Native, Native?];
  const dNormalized = ops.scope(() =>
    ops.add(
      productGrad(ops, inputs, 'gate', dGated, attrs),
      productGrad(ops, inputs, 'up', dUpped, attrs),
    ),
  );
  const [dx, dNorm] = throughNorm(ops, inputs, x, dy, dNormalized);
  if (!withWeightGradients) return [dx];
  const normalized = normalize(ops, x, inputs['scale']!, inputs['norm']!);
  if (withLowRank(inputs, MATRICES).length > 0) {
    const rows = {gate: normalized, up: normalized, down: hidden!};
    const gradients = {gate: dGated, up: dUpped, down: dy};
    const dLowRank = withLowRank(inputs, MLP).flatMap((name) =>
      lowRankGrads(ops, inputs, name, rows[name], gradients[name], attrs),
    );
    return [dx, ...dLowRank];
  }
  const dKernels = [dGated, dUpped].map((d) => ops.matMul(normalized, d, true));
  return [dx, dNorm, ...dKernels, ops.matMul(hidden!, dy, true)];
};

/** The gradients of the sublayer's input, which also goes around the norm, and of the norm's weight, from that of its output. */
function throughNorm(
  ops: NativeOps,
  inputs: NativeInputs,
  x: Native,
  dy: Native,
  dNormalized: Native,
): [dx: Native, dNorm: Native] {
  return ops.scope(() => {
    const [dx, dNorm] = normalizeGrad(ops, dNormalized, x, inputs['scale']!, inputs['norm']!);
    return [ops.reshape(ops.add(dy, dx), inputs['x']!.shape), dNorm];
  });
}
