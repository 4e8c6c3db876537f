/** What Node loads: the public surface, and nothing on demand. */
import './preload';

export * from './index';
