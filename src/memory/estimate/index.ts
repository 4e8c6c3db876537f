export {estimateMemory, type MemoryEstimate} from './estimate';
export type {Engine, EstimatedBackend, EstimateOptions} from './options';
