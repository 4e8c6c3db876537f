/** What Node loads: the public API, with every part that a page would load on demand. */
import '../preload/in_node';
import '../lora/index';

export * from '../index';
