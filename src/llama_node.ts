/** What Node loads: the models, with the kernels that a page would load on demand. */
import './llama_preload';

export * from './llama/index';
