import type {
  OwLoreAttentionSublayerAttrs,
  OwLoreAttentionSublayerGradAttrs,
  OwLoreMlpSublayerGradAttrs,
  OwLoreRMSNormAttrs,
} from '../llama_kernel_names';
import {attention, attentionGrad} from './attention';
import type {NativeInputs, NativeKernel} from './kernel';
import type {Native, NativeOps} from './native_ops';
import {rmsNorm, rmsNormGrad} from './rms_norm';
import {swiglu, swigluGrad} from './swiglu';

/** OwLoreAttentionSublayer. */
export const attentionSublayer: NativeKernel<OwLoreAttentionSublayerAttrs> = (
  ops,
  inputs,
  attrs,
) => {
  const [mixed, ...ofGradient] = ops.scope(() =>
    all(attention, ops, {...inputs, x: normalize(ops, inputs, attrs)}, attrs),
  );
  const value = ops.scope(() => ops.add(inputs['x']!, ops.matMul(mixed!, inputs['o']!)));
  return [value, mixed!, ...ofGradient];
};

/** OwLoreAttentionSublayerGrad. */
export const attentionSublayerGrad: NativeKernel<OwLoreAttentionSublayerGradAttrs> = (
  ops,
  inputs,
  attrs,
) => {
  const [dy, o, mixed] = [inputs['dy']!, inputs['o']!, inputs['mixed']!];
  const [dNormalized, ...dKernels] = ops.scope(() => {
    const x = normalize(ops, inputs, attrs);
    const given = {...inputs, x, y: mixed, dy: ops.matMul(dy, o, false, true)};
    return all(attentionGrad, ops, given, {...attrs, ofKernels: attrs.ofWeights});
  });
  const [dx, dNorm] = throughNorm(ops, inputs, dNormalized!, attrs);
  if (!attrs.ofWeights) return [dx];
  const [dq, dk, dv, ...dBiases] = dKernels as [Native, Native, Native, ...Native[]];
  return [dx, dNorm, dq, dk, dv, ops.matMul(mixed, dy, true), ...dBiases];
};

/** OwLoreMlpSublayer. */
export const mlpSublayer: NativeKernel<OwLoreRMSNormAttrs> = (ops, inputs, attrs) => {
  const [gated, upped] = ops.scope((): [Native, Native] => {
    const normalized = normalize(ops, inputs, attrs);
    return [ops.matMul(normalized, inputs['gate']!), ops.matMul(normalized, inputs['up']!)];
  });
  const value = ops.scope(() => {
    const [hidden] = all(swiglu, ops, {gate: gated, up: upped}, {});
    return ops.add(inputs['x']!, ops.matMul(hidden!, inputs['down']!));
  });
  return [value, gated, upped];
};

/** OwLoreMlpSublayerGrad. */
export const mlpSublayerGrad: NativeKernel<OwLoreMlpSublayerGradAttrs> = (ops, inputs, attrs) => {
  const {ofWeights} = attrs;
  const [dy, down] = [inputs['dy']!, inputs['down']!];
  const [dGated, dUpped, hidden] = ops.scope(() => {
    const given = {
      dy: ops.matMul(dy, down, false, true),
      gate: inputs['gated']!,
      up: inputs['upped']!,
    };
    return all(swigluGrad, ops, given, {withValue: ofWeights});
  }) as [Native, Native, Native?];
  const dNormalized = ops.scope(() =>
    ops.add(
      ops.matMul(dGated, inputs['gate']!, false, true),
      ops.matMul(dUpped, inputs['up']!, false, true),
    ),
  );
  const [dx, dNorm] = throughNorm(ops, inputs, dNormalized, attrs);
  if (!ofWeights) return [dx];
  const normalized = normalize(ops, inputs, attrs);
  const dKernels = [dGated, dUpped].map((d) => ops.matMul(normalized, d, true));
  return [dx, dNorm, ...dKernels, ops.matMul(hidden!, dy, true)];
};

function normalize(ops: NativeOps, inputs: NativeInputs, attrs: OwLoreRMSNormAttrs): Native {
  return all(rmsNorm, ops, {x: inputs['x']!, weight: inputs['norm']!}, attrs)[0]!;
}

/** From the gradient of the normalized input those of the sublayer's, which also goes around it, and of the norm's weight. */
function throughNorm(
  ops: NativeOps,
  inputs: NativeInputs,
  dNormalized: Native,
  attrs: OwLoreRMSNormAttrs,
): [dx: Native, dNorm: Native] {
  return ops.scope(() => {
    const given = {dy: dNormalized, x: inputs['x']!, weight: inputs['norm']!};
    const [dx, dNorm] = all(rmsNormGrad, ops, given, attrs);
    return [ops.add(inputs['dy']!, dx!), dNorm!];
  });
}

/** The results of another kernel; what it makes on its way is freed. */
function all<Attrs>(
  kernel: NativeKernel<Attrs>,
  ops: NativeOps,
  inputs: NativeInputs,
  attrs: Attrs,
): Native[] {
  return ops.scope(() => [kernel(ops, inputs, attrs)].flat());
}
