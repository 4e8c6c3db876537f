/** What Node loads: the public API, with every part that a page would load on demand. */
import './preload';

export * from './index';
