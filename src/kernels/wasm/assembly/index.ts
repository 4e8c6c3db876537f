import {EXP_SCRATCH, placeExpScratch} from './exp';
import {MULTIPLY_SCRATCH, placeScratch} from './gemm';

export {adam, add, scale} from './adam';
export {unpackBfloat16} from './bfloat16';
export {addBias, sumRows} from './bias';
export {addSegments} from './segments';
export {attend, attendGradient, attentionBytes, attentionGradientBytes} from './attention';
export {crossEntropy, crossEntropyGradient, sumOfDoubles} from './cross_entropy';
export {attendLast, attendLastBytes} from './decode';
export {multiply, multiplyBfloat16, multiplySections} from './gemm';
export {countAbove, magnitudeSums} from './magnitudes';
export {copy, copyRows, fill, gatherRows, toFloats} from './memory';
export {addSections, SECTIONS, sectionSums} from './row';
export {rmsNorm, rmsNormGradient, rmsNormWeightGradient} from './rms_norm';
export {SQUARES, sumsOfSquares} from './squares';
export {swiglu, swigluGradient} from './swiglu';
export {TILE_COLUMNS, TILE_ROWS} from './tile';

/** Bytes of memory that `initialize` needs. */
export const SCRATCH_BYTES: usize = EXP_SCRATCH + MULTIPLY_SCRATCH;

/** Gives the functions memory to work in; must be called before any of them. */
export function initialize(scratch: usize): void {
  placeExpScratch(scratch);
  placeScratch(scratch + EXP_SCRATCH);
}
