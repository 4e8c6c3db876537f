import {MULTIPLY_SCRATCH} from './gemm';

export {multiply} from './gemm';
export {addBias} from './bias';
export {addSegments} from './segments';

/** Bytes of scratch memory that is enough for every function. */
export const SCRATCH_BYTES: usize = MULTIPLY_SCRATCH;
