import {EXP_SCRATCH, placeExpScratch} from './exp';
import {MULTIPLY_SCRATCH, placeScratch} from './gemm';

export {adam, scale} from './adam';
export {unpackBfloat16} from './bfloat16';
export {addBias, sumRows} from './bias';
export {addSegments} from './segments';
export {attend, attendGradient, attentionBytes, attentionGradientBytes} from './attention';
export {crossEntropy, crossEntropyGradient} from './cross_entropy';
export {attendLast, attendLastBytes, copy} from './decode';
export {multiply} from './gemm';
export {countAbove, magnitudeSums} from './magnitudes';
export {rmsNorm, rmsNormGradient} from './rms_norm';
export {swiglu, swigluGradient} from './swiglu';

/** Bytes of memory that `initialize` needs. */
export const SCRATCH_BYTES: usize = EXP_SCRATCH + MULTIPLY_SCRATCH;

/** Gives the functions memory to work in; must be called before any of them. */
export function initialize(scratch: usize): void {
  placeExpScratch(scratch);
  placeScratch(scratch + EXP_SCRATCH);
}
