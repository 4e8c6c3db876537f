/** What Node loads: the models, with the kernels that a page would load on demand. */
import '../preload/llama';

export * from '../llama/index';
