export type {LlamaConfig, RopeScaling} from './config';
export type {FloatType} from './files/float_type';
export type {HostTensor, SafetensorsFile, SafetensorsOptions} from './files/safetensors';
export {parseSafetensors, serializeSafetensors} from './files/safetensors';
export {getLlamaWeights, setLlamaWeights} from './files/weights';
export {sparseCrossEntropy} from './loss';
export {createLlama} from './model';
