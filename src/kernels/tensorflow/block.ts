import type {OwLoreBlockAttrs, OwLoreBlockGradAttrs} from '../llama/kernel_names';
import {runOps, type NativeInputs, type NativeKernel} from './kernel';
import type {Native} from './native_ops';
import {
  attentionSublayer,
  attentionSublayerGrad,
  mlpSublayer,
  mlpSublayerGrad,
  queriesKeysValues,
} from './sublayers';

/*
 * Both halves of a block as one kernel, because TensorFlow's threads sleep when a graph ends and take a while to wake up for the
 * next one.
 */

/** OwLoreBlock. */
export const block: NativeKernel<OwLoreBlockAttrs> = (ops, inputs, attrs) => {
  if (inputs['attended']) {
    const attentionResults = queriesKeysValues(ops, inputs, attrs);
    const mlpResults = runOps(mlpSublayer, ops, secondHalf(inputs, inputs['attended']), attrs);
    return [...mlpResults, ...attentionResults];
  }
  const [attended, ...attentionResults] = runOps(attentionSublayer, ops, inputs, attrs);
  const [value, ...mlpResults] = runOps(mlpSublayer, ops, secondHalf(inputs, attended!), attrs);
  return [value!, attended!, ...mlpResults, ...attentionResults];
};

/** OwLoreBlockGrad. */
export const blockGrad: NativeKernel<OwLoreBlockGradAttrs> = (ops, inputs, attrs) => {
  const mlpInputs = secondHalf(inputs, inputs['attended']!);
  const [dAttended, ...dMlpWeights] = runOps(mlpSublayerGrad, ops, mlpInputs, attrs);
  const attentionInputs = {...inputs, dy: dAttended!};
  return [...runOps(attentionSublayerGrad, ops, attentionInputs, attrs), ...dMlpWeights];
};

function secondHalf(inputs: NativeInputs, attended: Native): NativeInputs {
  return {...inputs, x: attended, norm: inputs['mlpNorm']!, scale: inputs['mlpScale']!};
}
