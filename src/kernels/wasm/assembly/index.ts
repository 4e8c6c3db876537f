import {MULTIPLY_SCRATCH} from './gemm';

export {moments, scale, step} from './adam';
export {addBias} from './bias';
export {addSegments} from './segments';
export {causalAttention, causalAttentionGradient} from './causal_attention';
export {crossEntropy, crossEntropyGradient} from './cross_entropy';
export {multiply} from './gemm';
export {rmsNorm, rmsNormGradient} from './rms_norm';
export {rotate} from './rotary';
export {swiglu, swigluGradient} from './swiglu';

/** Bytes of scratch memory that is enough for every function. */
export const SCRATCH_BYTES: usize = MULTIPLY_SCRATCH;
