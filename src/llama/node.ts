/** What Node loads: the models, with the kernels that a page would load on demand. */
import './preload';

export * from './index';
